"""Records: what the store keeps of a start, taken from what was admitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eugospawner.store import NewSession, Wish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eugospawner.policy.decisions import Admitted


def wish_of(options: Mapping[str, Any] | None) -> Wish:
    """Return what is recorded of a workspace that starts with admitted JSON *options*."""
    words = dict(options or {})
    return Wish(name=words.pop("name", None), options=words)


def session_of(admitted: Admitted, *, session: str, actor: str, pod_name: str) -> NewSession:
    """
    Return the record of a session that begins.

    Args:
        session: Its identifier, which the Pod carries as a label.
        actor: Who asked for it.
    """
    grant, gpus = admitted.grant, admitted.grant.gpus
    return NewSession(
        id=session,
        owner=grant.owner,
        workspace=grant.workspace,
        actor=actor,
        project=grant.project.key,
        profile=grant.profile.key,
        flavor=grant.flavor.key,
        kind=grant.kind,
        queue=grant.queue.key,
        image=grant.image.reference,
        gpu_model=gpus.model.key if gpus else None,
        gpu_count=gpus.count if gpus else 0,
        sm_percent=gpus.sm_percent if gpus else 0,
        requested_percent=admitted.charge_percent,
        cpu_millicores=grant.cpu_millicores,
        memory_bytes=grant.memory_bytes,
        pod_name=pod_name,
        admitted_at=admitted.demand.start,
        group_key=grant.project.group.key if grant.project.group else None,
        organization=grant.project.organization.key if grant.project.organization else None,
    )
