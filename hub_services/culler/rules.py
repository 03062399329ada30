"""
Rules: which running sessions end now, and why; which would have, where idleness is only listed.

Pure, and by the same functions by which pages show the countdown (`policy.deadlines`). What stands here is
found; that it still holds is looked at once more by the transaction that writes it, under the conditions that
go with each. Source: design §7; D1; F66 to F69, F101; L5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eugospawner.policy import deadlines
from eugospawner.policy.lifecycle import Ending

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from eugospawner.policy.catalog import Catalog
    from eugospawner.store import Session, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """
    A session that ends now.

    Attributes:
        said: What its owner reads.
        idle_before: Only if nothing was seen to happen in it from then on; `None`: whatever happened.
        overdue_at: Only if its deadline is not after this; `None`: whatever its deadline.
    """

    session: Session
    reason: Ending
    said: str
    idle_before: datetime | None = None
    overdue_at: datetime | None = None


def to_stop(sessions: Iterable[Session], catalog: Catalog, now: datetime) -> tuple[Stop, ...]:
    """
    Return the sessions that end at *now*, in the order of *sessions*.

    Deadlines that come of a plan's window are left to the reaper. An idle session whose profile only
    lists it is none of these.
    """
    found = []
    for session in sessions:
        if session.ended_at is not None or session.bound_at is None:
            continue
        stop = _overdue(session, now)
        if stop is None and not _is_shadowed(session, catalog):
            stop = _idle(session, catalog, now)
        if stop is not None:
            found.append(stop)
    return tuple(found)


def to_list(sessions: Iterable[Session], catalog: Catalog, now: datetime) -> tuple[Stop, ...]:
    """Return the sessions that would end at *now* if idleness were not only listed (L5)."""
    return tuple(
        stop
        for session in sessions
        if session.ended_at is None
        and session.bound_at is not None
        and _is_shadowed(session, catalog)
        and _overdue(session, now) is None
        and (stop := _idle(session, catalog, now)) is not None
    )


def to_look_at(sessions: Iterable[Session], catalog: Catalog, now: datetime) -> tuple[Session, ...]:
    """Return the sessions with GPUs that are idle by all that was reported: are the GPUs at work?"""
    return tuple(
        session
        for session in sessions
        if session.ended_at is None and session.gpu_count and _idle(session, catalog, now)
    )


def to_delete(
    workspaces: Iterable[Workspace], catalog: Catalog, now: datetime
) -> tuple[Workspace, ...]:
    """Return the stopped workspaces whose entries go, if that is configured; data stays (F31)."""
    after = catalog.delete_stopped_after
    if after is None:
        return ()
    return tuple(
        each for each in workspaces if each.since is not None and now - each.since >= after
    )


def gpu_is_at_work(percent: float, threshold: float) -> bool:
    """Whether a GPU that was used *percent* of the time lately is at work."""
    return percent >= threshold


def _overdue(session: Session, now: datetime) -> Stop | None:
    if session.ends_at is None or session.ends_at > now or session.ends_because == Ending.WINDOW:
        return None
    reason = Ending.QUOTA if session.ends_because == Ending.QUOTA else Ending.MAX_SESSION
    return Stop(session=session, reason=reason, said="", overdue_at=now)


def _idle(session: Session, catalog: Catalog, now: datetime) -> Stop | None:
    if not deadlines.is_idle(session, catalog, now):
        return None
    limit = deadlines.idle_limit(catalog.profiles.get(session.profile), catalog)
    return Stop(
        session=session,
        reason=Ending.IDLE,
        said=f"Nothing happened in it for {deadlines.duration_words(limit)}, which is as long as its "
        "profile allows. Files are kept; start it again, or choose a profile with a longer idle time "
        "for long computations.",
        idle_before=now - limit,
    )


def _is_shadowed(session: Session, catalog: Catalog) -> bool:
    return deadlines.is_shadowed(catalog.profiles.get(session.profile), catalog)


def news(stops: Iterable[Stop], told: Collection[tuple[str, datetime]]) -> tuple[Stop, ...]:
    """Return those of *stops* that were not told yet: once for each session and time of idleness."""
    return tuple(each for each in stops if (each.session.id, each.session.idle_since) not in told)
