"""
Calendar: two weeks of a plan's windows as a picture, a row for each day of the zone.

Drawn by the same openings that admission goes by, so an hour that clocks skip or show twice is where it
is on the wall. Pure. Source: F60, screen "Plans, windows, queues".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from eugospawner.policy import windows
from eugospawner.policy.entitlement_rules import local

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eugospawner.policy.plans import Plan

DAYS: Final = 14
_WIDTH: Final = 720
_LEFT, _RIGHT, _TOP = 140, 14, 22
_ROW: Final = 24
_BAR: Final = 16
_HOURS: Final = 24
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Open hours of a day."""

    x: float
    width: float
    height: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A row."""

    y: int
    text: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """An hour on the axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """What the template draws; lengths in units of the picture."""

    width: int
    height: int
    left: int
    top: int
    hours: tuple[Mark, ...]
    days: tuple[Day, ...]
    sentence: str


def calendar_of(plan: Plan, zone: str, now: datetime) -> Calendar:
    """Return two weeks of *plan* from the day of *now* on; its first window's zone, else *zone*."""
    name = plan.windows[0].zone if plan.windows else zone
    first = now.astimezone(ZoneInfo(name)).date()
    inner = _WIDTH - _LEFT - _RIGHT
    days = []
    for number in range(DAYS):
        day = first + timedelta(days=number)
        begin, end = (
            windows.instant(name, datetime.combine(day + timedelta(days=more), time.min))
            for more in (0, 1)
        )
        bars = tuple(
            Bar(
                x=round(_LEFT + inner * _share(start, name, begin), 1),
                width=round(
                    inner * (_share(until, name, begin, is_end=True) - _share(start, name, begin)),
                    1,
                ),
                height=_BAR,
                title=f"{local(start, name)} to {local(until, name)}",
            )
            for start, until in _open(plan, begin, end)
        )
        days.append(Day(y=_TOP + number * _ROW, text=f"{day:%a} {day:%m-%d}", bars=bars))
    return Calendar(
        width=_WIDTH,
        height=_TOP + DAYS * _ROW + 4,
        left=_LEFT,
        top=_TOP,
        hours=tuple(
            Mark(round(_LEFT + inner * hour / _HOURS, 1), f"{hour:02d}")
            for hour in range(0, _HOURS + 1, 6)
        ),
        days=tuple(days),
        sentence=_sentence(plan, name, now),
    )


def _share(at: datetime, zone: str, begin: datetime, *, is_end: bool = False) -> float:
    """Return where *at* stands on the clock of its day, which begins at *begin*: 0 to 1."""
    wall = at.astimezone(ZoneInfo(zone))
    seconds = wall.hour * 3600 + wall.minute * 60 + wall.second
    if is_end and seconds == 0 and at > begin:
        return 1.0
    return seconds / _DAY_SECONDS


def _open(plan: Plan, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield when *plan* is open in [begin, end)."""
    at = begin
    while at < end:
        opening = windows.open_now(plan.windows, at)
        if opening is None:
            following = windows.next_opening(plan.windows, at)
            if following is None or following.opens_at >= end:
                return
            at = following.opens_at
            continue
        until = end if opening.closes_at is None else min(opening.closes_at, end)
        yield at, until
        at = until


def _sentence(plan: Plan, zone: str, now: datetime) -> str:
    if not plan.windows:
        return "Always open."
    told = "; ".join(windows.describe(each) for each in plan.windows)
    opening = windows.open_now(plan.windows, now)
    if opening is not None:
        closes = "" if opening.closes_at is None else f" until {local(opening.closes_at, zone)}"
        return f"Open now{closes}. {told}."
    following = windows.next_opening(plan.windows, now)
    if following is None:
        return f"Closed, and does not open again. {told}."
    return f"Closed, opens {local(following.opens_at, zone)}. {told}."
