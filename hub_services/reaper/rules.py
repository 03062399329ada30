"""
Rules: what nobody answers for any more, and what becomes of it.

Pure: everything comes in as values, and whatever is decided goes out as one. `service` asks twice,
about all and then about each victim as it is just before the act, so what stands here need not
care how old a list is. Three principles:

- Missing knowledge never condemns. Every Pod of ours has a session in the store before it exists;
  one whose session the store has never heard of is another hub's in the same namespace, or the
  store is not the one it was: a `Doubt` for a person, not a victim (promise 7).
- Young things are left alone: a start makes its session, its Pod and the hub's record one after
  the other, and a hub that has just restarted needs a moment to adopt.
- Data is never destroyed: a volume without a record is recorded again (F31).

Source: design §7 and promise 6; facts on security, §4.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from eugospawner.manifests import names
from eugospawner.policy import volumes as volume_rules
from eugospawner.policy.volumes import Volume
from hub_services.reaper.observed import Shape

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from eugospawner.store import Session
    from hub_services.common.hub import Server
    from hub_services.reaper.observed import GpuClaim, Pod, Template, VolumeClaim

#: A start is known to the hub before its Pod exists, an adoption before the hub answers at all:
#: a minute is patience with clocks and API servers, not with the hub.
GRACE: Final = timedelta(seconds=60)
#: Making a template costs a start one call, so nothing is gained by haste.
TEMPLATE_AGE: Final = timedelta(minutes=10)

#: Why a session ended whose Pod nobody answered for.
ORPHAN: Final = "orphan"
#: Why a session ended that has no Pod any more.
POD_GONE: Final = "pod-gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reap:
    """A Pod to delete, and the session to end with it; *because* ends a sentence for the log."""

    pod: Pod
    session: Session
    reason: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """An open session to end, since there is nothing left of it."""

    session: Session
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A volume to write into the store again."""

    owner: str
    volume: Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Something that should not be, and that only a person can judge; *uid* is its object's."""

    uid: str
    sentence: str


def to_reap(
    pods: Iterable[Pod], servers: Iterable[Server], sessions: Iterable[Session], now: datetime
) -> tuple[Reap, ...]:
    """
    Return the Pods that nobody answers for, in the order of *pods*.

    A Pod stays if the hub knows its server as running or pending and its session has not ended
    before the last minute. A Pod whose session is unknown stays in any case.

    Args:
        servers: All active servers of the sessions' owners at least.
        sessions: Those that the Pods name, as far as the store knows them.
    """
    active = {(server.owner, server.name) for server in servers}
    by_id = {session.id: session for session in sessions}
    found = []
    for pod in pods:
        session = by_id.get(pod.session)
        if session is None or pod.is_going or pod.created_at > now - GRACE:
            continue
        if (session.owner, session.workspace) not in active:
            because = "the hub knows no such server"
        elif session.ended_at is not None and session.ended_at <= now - GRACE:
            because = f"its session has ended ({session.end_reason})"
        else:
            continue
        found.append(Reap(pod=pod, session=session, reason=ORPHAN, because=because))
    return tuple(found)


def to_close(
    sessions: Iterable[Session], pods: Iterable[Pod], servers: Iterable[Server], now: datetime
) -> tuple[Close, ...]:
    """
    Return the open sessions that have no Pod and will get none, in the order of *sessions*.

    The Pod of a session that the hub still starts, checks or stops may be on its way.
    """
    running = {pod.session for pod in pods}
    pending = {(server.owner, server.name) for server in servers if server.pending}
    return tuple(
        Close(session=session, reason=POD_GONE)
        for session in sessions
        if session.ended_at is None
        and session.id not in running
        and session.admitted_at <= now - GRACE
        and (session.owner, session.workspace) not in pending
    )


def to_drop(
    templates: Iterable[Template],
    in_use: Collection[str],
    sessions: Iterable[Session],
    now: datetime,
) -> tuple[Template, ...]:
    """
    Return the claim templates that nobody needs, in the order of *templates*.

    Args:
        in_use: Names that Pods refer to.
        sessions: All that are open: one that has no Pod yet will ask for its shape.
    """
    wanted = {
        Shape(
            gpu_model=session.gpu_model or "",
            gpu_count=str(session.gpu_count),
            sm_percent=str(session.sm_percent),
        )
        for session in sessions
        if session.ended_at is None
    }
    return tuple(
        template
        for template in templates
        if template.name not in in_use
        and template.shape not in wanted
        and template.created_at <= now - TEMPLATE_AGE
    )


def to_record(
    claims: Iterable[VolumeClaim], recorded: Mapping[str, Collection[str]]
) -> tuple[Record, ...]:
    """
    Return the volumes that have a claim and no record, in the order of *claims*.

    Args:
        recorded: Keys of the volumes that the store knows, by owner.
    """
    return tuple(
        Record(
            owner=claim.owner,
            volume=Volume(key=claim.key, claim_name=claim.name, size_bytes=claim.size_bytes),
        )
        for claim in claims
        if claim.key not in recorded.get(claim.owner, ())
        and not claim.is_going
        and _is_genuine(claim)
    )


def doubts(
    *,
    pods: Collection[Pod],
    sessions: Iterable[Session],
    volume_claims: Iterable[VolumeClaim],
    gpu_claims: Iterable[GpuClaim],
    pod_uids: Collection[str],
    now: datetime,
) -> tuple[Doubt, ...]:
    """
    Return what should not be and is left alone.

    Args:
        sessions: Those that the Pods name, as far as the store knows them.
        pod_uids: Of all Pods of the namespace.
    """
    known = {session.id for session in sessions}
    strange_pods = (
        Doubt(
            uid=pod.uid,
            sentence=f"The Pod {pod.name} is left alone: the store knows no session {pod.session}. "
            "If no other hub uses this namespace, the store was lost or restored: delete the Pod",
        )
        for pod in pods
        if pod.session not in known and pod.created_at <= now - GRACE and not pod.is_going
    )
    strange_volumes = (
        Doubt(
            uid=claim.uid,
            sentence=f"The volume {claim.name} is labelled as {claim.key!r} and is not named as "
            f"one of {claim.owner or 'nobody'!r}: it was not made by us and is not recorded",
        )
        for claim in volume_claims
        if not claim.is_going and not _is_genuine(claim)
    )
    left_claims = (
        Doubt(
            uid=claim.uid,
            sentence=f"The GPU claim {claim.name} outlives its Pod: Kubernetes' garbage collector "
            "should have removed it. Is kube-controller-manager at work?",
        )
        for claim in gpu_claims
        if claim.pod_uids.isdisjoint(pod_uids) and claim.created_at <= now - GRACE
    )
    return (*strange_pods, *strange_volumes, *left_claims)


def _is_genuine(claim: VolumeClaim) -> bool:
    """Whether name, key and owner belong together, as only our own claims' do."""
    return (
        bool(claim.owner)
        and claim.size_bytes > 0
        and volume_rules.is_key(claim.key)
        and claim.name == names.volume_claim_name(claim.owner, claim.key)
    )
