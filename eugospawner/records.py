"""Records: what the store keeps of a start, taken from what was admitted."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from eugospawner.policy import case
from eugospawner.policy.errors import StoreError
from eugospawner.policy.quota import Amounts, mib
from eugospawner.store import NewSession, Session, Wish
from eugospawner.store.refusals import text_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime
    from logging import Logger

    from eugospawner.policy.decisions import Admitted, Mount
    from eugospawner.policy.quota import Demand
    from eugospawner.settings import Settings
    from eugospawner.store import Store
    from eugospawner.store.refusals import Refused


#: A write takes milliseconds.
_PATIENCE_SECONDS: Final = 1


def wish_of(options: Mapping[str, Any] | None, mounts: Sequence[Mount] = ()) -> Wish:
    """Return what is recorded of a workspace that starts with JSON *options*, for which *mounts* were granted."""
    words = dict(options or {})
    if mounts:
        # In full: whose volume a key names must not change when somebody makes another of that name.
        words["volumes"] = [{"claim": each.key, "mount_path": each.mount_path} for each in mounts]
    return Wish(name=words.pop("name", None), options=words)


def session_of(
    admitted: Admitted,
    *,
    session: str,
    actor: str,
    pod_name: str,
    options: Mapping[str, Any] | None = None,
) -> NewSession:
    """
    Return the record of a session that begins.

    Args:
        session: Its identifier, which the Pod carries as a label.
        actor: Who asked for it.
        options: JSON words of the request; kept, so that a changed plan can be tried on them.
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
        options=text_of(options),
        plan=grant.project.plan.key or None,
    )


def demand_of(
    session: NewSession,
    settings: Settings,
    slug: Callable[[str], str],
    *,
    percent: int,
    now: datetime,
    began: datetime | None = None,
) -> Demand | None:
    """
    Return what *session* would take from *now* on with *percent* of GPUs, by the rules of *settings*.

    `None` if its project, queue or profile are no more; it then keeps what it was admitted for.

    Args:
        slug: Makes a user's name fit for a label.
        began: When it began, if that was before *now*.
    """
    catalog = settings.catalog
    accounts = settings.directory.accounts_of(session.owner, slug(session.owner))
    project, queue = accounts.find(session.project), catalog.queues.get(session.queue)
    profile = catalog.profiles.get(session.profile)
    if project is None or queue is None or profile is None:
        return None
    return case.demand_of(
        accounts,
        project,
        queue,
        profile,
        catalog,
        gpu_model=session.gpu_model or "",
        rates=Amounts(gpu=percent, cpu=session.cpu_millicores, memory=mib(session.memory_bytes)),
        now=now,
        began=began,
        extension=session.extension if isinstance(session, Session) else timedelta(),
    )


async def keep_refusal(
    store: Callable[[], Awaitable[Store]], refused: Refused, log: Logger
) -> None:
    """Record a refusal, if the store answers soon: the answer to the request waits for it."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await (await store()).refusals.add(refused)
    except (StoreError, TimeoutError) as error:
        log.warning("A refusal of %s is not on record: %s", refused.owner, error)
