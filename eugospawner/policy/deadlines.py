"""
Deadlines: when and why a running session ends, when people are warned of it, and what can be done.

Pages, services and the command ask the same functions, so whoever looks sees what will be done. A session
ends at its deadline (longest session, close of the window, quota) or before it, when nothing was seen to
happen in it for as long as its profile allows. Source: design §7, promise 3; F61, F66 to F68; L7.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from eugospawner.policy.lifecycle import Ending

if TYPE_CHECKING:
    from datetime import datetime

    from eugospawner.policy.catalog import Catalog, Profile

#: So long before an end people are warned of it.
WARNED_BEFORE: Final = timedelta(minutes=15)
#: By how much one press of Extend makes a session longer, at most.
EXTENSION_STEP: Final = timedelta(hours=1)


class Running(Protocol):
    """What is asked about a session."""

    @property
    def profile(self) -> str: ...  # noqa: D102
    @property
    def ends_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def ends_because(self) -> str | None: ...  # noqa: D102
    @property
    def idle_since(self) -> datetime: ...  # noqa: D102
    @property
    def extension(self) -> timedelta: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """An end that is to come: when, why, and from when on people are warned."""

    at: datetime
    reason: str
    warned_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """
    What a running session has before it.

    Attributes:
        deadline: When it ends whatever happens in it; `None`: it began before there were deadlines.
        idle: When it ends if nothing happens; `None`: it is not stopped for that.
        is_shadowed: Whether idleness is only listed.
        can_extend_by: By how much it can still be made longer, as far as its profile says.
    """

    deadline: End | None
    idle: End | None
    is_shadowed: bool
    can_extend_by: timedelta

    @property
    def first(self) -> End | None:
        """The end that comes first, if nothing happens."""
        ends = [each for each in (self.deadline, self.idle) if each is not None]
        return min(ends, key=lambda each: each.at, default=None)


def idle_limit(profile: Profile | None, catalog: Catalog) -> timedelta:
    """Return how long a workspace of *profile* may be idle; one that is unknown has the default."""
    if profile is None or profile.idle_stop is None:
        return catalog.idle_stop
    return profile.idle_stop


def shortest_idle_limit(catalog: Catalog) -> timedelta:
    """Return the shortest of all, for whoever looks for what may have to end."""
    limits = [idle_limit(profile, catalog) for profile in catalog.profiles.values()]
    return min([*limits, catalog.idle_stop])


def is_shadowed(profile: Profile | None, catalog: Catalog) -> bool:
    """Whether idle workspaces of *profile* are only listed (L5)."""
    return catalog.idle_shadow or (profile is not None and profile.idle_shadow)


def prospect_of(session: Running, catalog: Catalog) -> Prospect:
    """Return what *session* has before it."""
    profile = catalog.profiles.get(session.profile)
    limit = idle_limit(profile, catalog)
    idle_at = session.idle_since + limit
    shadowed = is_shadowed(profile, catalog)
    deadline = None
    if session.ends_at is not None:
        deadline = End(
            at=session.ends_at,
            reason=session.ends_because or Ending.MAX_SESSION,
            warned_from=session.ends_at - WARNED_BEFORE,
        )
    ceiling = timedelta() if profile is None else profile.extension
    return Prospect(
        deadline=deadline,
        idle=None
        if shadowed
        else End(
            at=idle_at,
            reason=Ending.IDLE,
            # F67: 15 minutes before, or at half the idle time if that is later.
            warned_from=max(idle_at - WARNED_BEFORE, session.idle_since + limit / 2),
        ),
        is_shadowed=shadowed,
        can_extend_by=max(ceiling - session.extension, timedelta())
        if session.ends_because == Ending.MAX_SESSION
        else timedelta(),
    )


def is_idle(session: Running, catalog: Catalog, now: datetime) -> bool:
    """Whether *session* has been idle for as long as its profile allows."""
    return now - session.idle_since >= idle_limit(catalog.profiles.get(session.profile), catalog)


def next_extension(session: Running, catalog: Catalog) -> timedelta:
    """Return the extension, in all, that the next press of Extend asks for; the same: none is left."""
    left = prospect_of(session, catalog).can_extend_by
    return session.extension + min(EXTENSION_STEP, left)


def duration_words(length: timedelta) -> str:
    """Return *length* for a sentence: ``30 min``, ``8 h``, ``1 h 30 min``."""
    minutes = max(int(length.total_seconds()) // 60, 0)
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{rest} min"
    return f"{hours} h {rest} min" if rest else f"{hours} h"
