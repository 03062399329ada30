"""
Windows: when a plan is open, and until when.

A window is a weekly or one-off interval in an IANA zone, half-open [start, end), told in wall
time: it closes when the clock on the wall there shows its end, however many hours that takes. A
wall time that the clock skips is read as if the clock had not been moved (02:30 in the missing
hour is 03:30), one that it shows twice is the first. An *occurrence* is one concrete interval in
UTC; where its start is not before its end after that, there is none. Occurrences that touch or
overlap, of one window or of several, are one *opening*. No windows at all: always open.

Pure, but for the zone's file that `zoneinfo` reads when the first window of a zone is made.
Source: design §3 and style §3.6; F60 to F64; RFC 5545 §3.3.5, which reads wall times alike.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import WEEKLY, rrule
from dateutil.tz import resolve_imaginary

from eugospawner.policy.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: What is open for so long counts as open without end: clocks are moved by the year, so a gap
#: that they tear between two windows has shown itself by then.
HORIZON: Final = timedelta(days=366)

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MINUTES: Final = range(24 * 60)
_WEEK: Final = timedelta(weeks=1)
#: Others are typing errors; and a zone's early offsets have seconds, the last year overflows.
_YEARS: Final = range(1970, 3000)
_A_MONDAY: Final = datetime(1970, 1, 5)  # noqa: DTZ001 - wall time
#: No zone is a day or more from UTC.
_LARGEST_OFFSET: Final = timedelta(days=1)
_FOREVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekTime:
    """
    A wall time of each week.

    Attributes:
        day: 0 = Monday to 6 = Sunday.
        minute: Of the day, 0 to 1439.
    """

    day: int
    minute: int

    def __post_init__(self) -> None:
        """Refuse what no week has."""
        if self.day not in range(len(_DAYS)):
            message = f"day {self.day!r} is not 0 (Monday) to 6 (Sunday)"
            raise PolicyError(message)
        if self.minute not in _MINUTES:
            message = f"minute {self.minute!r} is not 0 to {_MINUTES[-1]}"
            raise PolicyError(message)

    @property
    def since_monday(self) -> timedelta:
        """Wall time since Monday 00:00."""
        return timedelta(days=self.day, minutes=self.minute)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeeklyWindow:
    """
    Each week from *start* to the *end* that follows: of the next week if it is not later.

    Attributes:
        zone: IANA name.
        end: Equal to *start*: the whole week.
    """

    zone: str
    start: WeekTime
    end: WeekTime

    def __post_init__(self) -> None:
        """Refuse an unknown zone."""
        _zone(self.zone)

    @property
    def is_always_open(self) -> bool:
        """Whether each occurrence ends where the next begins."""
        return self.start == self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOffWindow:
    """
    Once from *start* to *end*, to the minute.

    Attributes:
        zone: IANA name.
        start: Naive wall time of the zone.
        end: As *start*, and later.
    """

    zone: str
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Refuse an unknown zone, and times that are no interval of it."""
        _zone(self.zone)
        for at in (self.start, self.end):
            if at.tzinfo is not None:
                message = f"{at} has a zone of its own; the window's is {self.zone}"
                raise PolicyError(message)
            if at.second or at.microsecond:
                message = f"{at} is not to the minute"
                raise PolicyError(message)
            if at.year not in _YEARS:
                message = f"{at} is not in the years {_YEARS[0]} to {_YEARS[-1]}"
                raise PolicyError(message)
        if self.start >= self.end:
            message = f"{self.start} is not before {self.end}"
            raise PolicyError(message)


Window: TypeAlias = WeeklyWindow | OneOffWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One concrete [start, end) of a window, aware UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """
    The windows are open.

    Attributes:
        closes_at: Aware UTC; `None`: more than `HORIZON` from now, if ever.
    """

    closes_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """
    Uninterrupted open time ahead.

    Attributes:
        opens_at: Aware UTC.
        closes_at: Aware UTC; `None`: more than `HORIZON` after *opens_at*, if ever.
    """

    opens_at: datetime
    closes_at: datetime | None


def occurrences(window: Window, after: datetime, until: datetime) -> Iterator[Occurrence]:
    """
    Return the occurrences of *window* that overlap [*after*, *until*), in order.

    Two of one window can overlap on the day of a clock change, if hardly anything of the week
    lies between them.

    Args:
        after: Aware, any zone; so is *until*.

    Raises:
        PolicyError: A time is naive.
    """
    after, until = _utc(after), _utc(until)
    if after >= until:
        return iter(())
    found: Iterable[Occurrence]
    match window:
        case WeeklyWindow():
            found = _each_week(window, after)
        case OneOffWindow():
            found = _occur(window.zone, window.start, window.end)
        case _:
            assert_never(window)
    return takewhile(
        lambda occurrence: occurrence.start < until,
        (occurrence for occurrence in found if occurrence.end > after),
    )


def open_now(windows: Iterable[Window], now: datetime) -> Open | None:
    """
    Return until when the windows are open, `None` if they are closed *now*.

    Args:
        windows: Of one plan, in any order; none at all: always open.
        now: Aware, any zone.

    Raises:
        PolicyError: *now* is naive.
    """
    windows, now = tuple(windows), _utc(now)
    if _are_always_open(windows):
        return Open(closes_at=None)
    opening = next(_openings(windows, now), None)
    if opening is None or opening.opens_at > now:
        return None
    return Open(closes_at=opening.closes_at)


def next_opening(windows: Iterable[Window], now: datetime) -> Opening | None:
    """
    Return the first opening that begins after *now*, be they open *now* or closed.

    `None`: there is none ahead (all are past), or none in sight because the windows are open
    now and stay so for `HORIZON`.

    Args:
        windows: Of one plan, in any order; none at all: always open.
        now: Aware, any zone.

    Raises:
        PolicyError: *now* is naive.
    """
    windows, now = tuple(windows), _utc(now)
    if _are_always_open(windows):
        return None
    return next((each for each in _openings(windows, now) if each.opens_at > now), None)


def describe(window: Window) -> str:
    """Return *window* in words, such as ``Mon 08:00 to Fri 18:00, Europe/Berlin``."""
    match window:
        case WeeklyWindow(is_always_open=True):
            interval = "all week"
        case WeeklyWindow():
            interval = f"{_name(window.start)} to {_name(window.end)}"
        case OneOffWindow():
            interval = f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M}"
        case _:
            assert_never(window)
    return f"{interval}, {window.zone}"


def _are_always_open(windows: tuple[Window, ...]) -> bool:
    return not windows or any(
        isinstance(window, WeeklyWindow) and window.is_always_open for window in windows
    )


def _openings(windows: tuple[Window, ...], now: datetime) -> Iterator[Opening]:
    """Yield what is open after *now*, in order, up to the first that is without end."""
    ahead = heapq.merge(
        *(occurrences(window, now, _FOREVER) for window in windows),
        key=lambda occurrence: occurrence.start,
    )
    first = next(ahead, None)
    if first is None:
        return
    opens_at, closes_at = first.start, first.end
    for occurrence in ahead:
        if closes_at - max(opens_at, now) > HORIZON:
            break
        if occurrence.start <= closes_at:
            closes_at = max(closes_at, occurrence.end)
            continue
        yield Opening(opens_at=opens_at, closes_at=closes_at)
        opens_at, closes_at = occurrence.start, occurrence.end
    ends = closes_at - max(opens_at, now) <= HORIZON
    yield Opening(opens_at=opens_at, closes_at=closes_at if ends else None)


def _each_week(window: WeeklyWindow, after: datetime) -> Iterator[Occurrence]:
    """Yield, in order, all occurrences that end later than *after*, and perhaps one before."""
    lasts = (window.end.since_monday - window.start.since_monday) % _WEEK or _WEEK
    early = after.replace(tzinfo=None) - _LARGEST_OFFSET - lasts
    first = early + (_A_MONDAY + window.start.since_monday - early) % _WEEK
    for start in rrule(WEEKLY, dtstart=first):
        yield from _occur(window.zone, start, start + lasts)


@lru_cache(maxsize=4096)  # now moves slowly: the next form asks for the same ones
def _occur(zone: str, start: datetime, end: datetime) -> tuple[Occurrence, ...]:
    """Return the one occurrence between two wall times, if there is any."""
    occurrence = Occurrence(start=instant(zone, start), end=instant(zone, end))
    return (occurrence,) if occurrence.start < occurrence.end else ()


def instant(zone: str, wall: datetime) -> datetime:
    """Return when the clock of *zone* shows *wall*: the first time, or as if it was not moved."""
    shown: datetime = resolve_imaginary(wall.replace(tzinfo=_zone(zone), fold=0))
    return shown.astimezone(UTC)


def _utc(at: datetime) -> datetime:
    if at.utcoffset() is None:
        message = f"{at} is naive; give it a zone"
        raise PolicyError(message)
    return at.astimezone(UTC)


@cache
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:  # OSError: a folder's name
        message = f"{name!r} is no IANA time zone"
        raise PolicyError(message) from problem


def _name(at: WeekTime) -> str:
    hour, minute = divmod(at.minute, 60)
    return f"{_DAYS[at.day]} {hour:02d}:{minute:02d}"
