"""
Rules: what of the sessions is to be bound, settled, given another deadline or doubted.

Pure, as the reaper's: missing knowledge never charges. A session is settled until the moment at
which its Pod was seen to run, and one that is not seen is left for the reaper to end, so nobody
pays for a workspace that nobody can show. Whoever is seen to run with its GPUs and was bound by
nobody, because the hub died between the two, is bound from the moment it was ready. Source: design
§7 and promises 2, 5 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from eugospawner.policy.quota import EXHAUSTED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from eugospawner.settings import Settings
    from eugospawner.store import Session
    from hub_services.quota.observed import Pod

#: The hub binds what it starts within seconds; a minute is patience with it.
GRACE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A session that runs and was never bound; *at* is when it became ready."""

    session: Session
    percent: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """A bound session, and until when it was seen to run."""

    session: Session
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Something that should not be, and that no charge follows from; *about* names it."""

    about: str
    sentence: str


def to_bind(sessions: Iterable[Session], pods: Iterable[Pod], now: datetime) -> tuple[Bind, ...]:
    """Return the open sessions that run, with their GPUs allocated, and that nobody has bound."""
    by_session = {pod.session: pod for pod in pods}
    found = []
    for session in sessions:
        pod = by_session.get(session.id)
        if (
            session.ended_at is None
            and session.bound_at is None
            and pod is not None
            and pod.granted_percent is not None
            and pod.ready_at is not None
            and pod.ready_at <= now - GRACE
        ):
            found.append(Bind(session=session, percent=pod.granted_percent, at=pod.ready_at))
    return tuple(found)


def to_settle(
    sessions: Iterable[Session], pods: Iterable[Pod], seen_at: datetime
) -> tuple[Settle, ...]:
    """
    Return the bound sessions whose Pods were seen, and until when they ran.

    Args:
        seen_at: When the Pods were asked for: they were there then, and may be gone since.
    """
    by_session = {pod.session: pod for pod in pods}
    return tuple(
        Settle(session=session, until=min(pod.ended_at or seen_at, seen_at))
        for session in sessions
        if session.ended_at is None
        and session.bound_at is not None
        and (pod := by_session.get(session.id)) is not None
    )


class Basis(NamedTuple):
    """What deadlines follow from, beside what is used: the settings, and which overrides hold."""

    settings: Settings
    overrides: frozenset[str]


def basis_of(settings: Settings, now: datetime) -> Basis:
    """Return what deadlines follow from *now*."""
    holding = (
        quota.key
        for quota in settings.catalog.quotas
        if quota.override is not None and now < quota.override.expires_at
    )
    return Basis(settings, frozenset(holding))


def to_renew(settles: Iterable[Settle], now: datetime, *, anew: bool) -> tuple[Session, ...]:
    """
    Return the running sessions whose deadline may be another by now; features F69, F101.

    While the settings stay, that is so only of those that a quota ends: somebody else may have used
    less than was reserved. A deadline that has passed stays; what is there after it is overdue.

    Args:
        anew: Whether the settings are others than those by which deadlines were last found.
    """
    return tuple(
        each.session
        for each in settles
        if each.session.ends_at is not None
        and each.session.ends_at > now
        and (anew or each.session.ends_because == EXHAUSTED)
    )


def doubts(sessions: Iterable[Session], pods: Iterable[Pod], now: datetime) -> tuple[Doubt, ...]:
    """Return where cluster and store do not agree, both ways; what is young is left alone."""
    by_session = {pod.session: pod for pod in pods}
    by_id = {session.id: session for session in sessions}
    unseen = (
        Doubt(
            about=session.id,
            sentence=f"The session {session.id} of {session.owner} is open and has no Pod: it is "
            "not charged on, and the reaper will end it",
        )
        for session in by_id.values()
        if session.ended_at is None
        and session.id not in by_session
        and (session.bound_at or session.admitted_at) <= now - GRACE
    )
    unpaid = (
        Doubt(
            about=pod.session,
            sentence=f"The Pod {pod.name} runs and nobody is charged for it: its session "
            f"{pod.session} has ended or is unknown; the reaper looks after it",
        )
        for pod in by_session.values()
        if pod.ended_at is None
        and pod.created_at <= now - GRACE
        and (pod.session not in by_id or by_id[pod.session].ended_at is not None)
    )
    different = (
        Doubt(
            about=pod.session,
            sentence=f"The session {pod.session} is charged {session.granted_percent} GPU percent, "
            f"and the claim of its Pod {pod.name} consumes {pod.granted_percent}",
        )
        for pod in by_session.values()
        if (session := by_id.get(pod.session)) is not None
        and session.ended_at is None
        and session.granted_percent is not None
        and pod.granted_percent is not None
        and pod.granted_percent != session.granted_percent
    )
    return (*unseen, *unpaid, *different)
