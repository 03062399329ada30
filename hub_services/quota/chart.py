"""
Chart: GPU hours of a month as a picture.

Bars by day and, where one quota bounds the month, how near all of them come to it. Drawn as SVG on the
server, so it is there without JavaScript, in the page's own colours, and as large as it should be; the
page has the same figures as a table. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eugospawner.policy.limits import UNIT_HOUR
from eugospawner.policy.quota import Resource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from hub_services.quota.models import DayLine, LimitLine

_WIDTH: Final = 720
_HEIGHT: Final = 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 16, 28
_GAP: Final = 0.2
_HOUR: Final = UNIT_HOUR[Resource.GPU]
#: Marks on the axis that people count in.
_STEPS: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One day: where its bar stands, and what a pointer over it reads."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A number on an axis, and where."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What the template draws; lengths in units of the picture."""

    width: int
    height: int
    left: int
    right: float
    bottom: float
    bars: tuple[Bar, ...]
    total: str
    """Points of the line of all hours since the first."""
    limit_at: float | None
    limit_text: str
    marks: tuple[Mark, ...]
    days: tuple[Mark, ...]
    sentence: str


def chart_of(
    days: Sequence[DayLine], limits: Sequence[LimitLine], last: date, *, subject: str
) -> Chart:
    """
    Return the chart of *days*.

    Args:
        limits: Of the report: the one on *subject*'s GPU hours of the month, all models together,
            is drawn.
        last: The month's last day.
    """
    limit = next(
        (
            line
            for line in limits
            if (line.subject, line.resource, line.span) == (subject, "gpu", "month")
            and line.gpu_model is None
        ),
        None,
    )
    totals: list[int] = []
    for day in days:
        totals.append(day.gpu + (totals[-1] if totals else 0))
    used = totals[-1] if totals else 0
    # A limit that is far away would press the bars flat: it is said and not drawn then.
    drawn = limit is not None and limit.amount <= max(used * 4, _HOUR)
    most = max([used, *([limit.amount] if limit is not None and drawn else []), _HOUR // 10])
    step = _step(most / _HOUR)
    top = -(-most // int(step * _HOUR)) * int(step * _HOUR)
    inner = _HEIGHT - _TOP - _BOTTOM
    slot = (_WIDTH - _LEFT - _RIGHT) / last.day

    def height(amount: int) -> float:
        return round(inner * amount / top, 1)

    bottom = _HEIGHT - _BOTTOM
    bars = tuple(
        Bar(
            x=round(_LEFT + slot * (number + _GAP / 2), 1),
            y=bottom - height(day.gpu),
            width=round(slot * (1 - _GAP), 1),
            height=height(day.gpu),
            title=f"{day.day}: {day.gpu_hours} GPU hours",
        )
        for number, day in enumerate(days)
    )
    points = " ".join(
        f"{round(_LEFT + slot * (number + 0.5), 1)},{bottom - height(total)}"
        for number, total in enumerate(totals)
    )
    count = int(top / (step * _HOUR))
    return Chart(
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        bottom=bottom,
        bars=bars,
        total=points,
        limit_at=bottom - height(limit.amount) if limit is not None and drawn else None,
        limit_text="" if limit is None else limit.used,
        marks=tuple(
            Mark(at=bottom - height(int(step * _HOUR * number)), text=_number(step * number))
            for number in range(count + 1)
        ),
        days=tuple(
            Mark(at=round(_LEFT + slot * (number - 0.5), 1), text=str(number))
            for number in range(1, last.day + 1)
            if number == 1 or number % 5 == 0
        ),
        sentence=_sentence(days, limit),
    )


def _step(hours: float) -> float:
    """Return a step of the axis that makes three to six of *hours*."""
    power = 0.01
    while True:
        for factor in _STEPS:
            if hours / (power * factor) <= 5:  # noqa: PLR2004 - as many lines as are read at a glance
                return power * factor
        power *= 10


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def _sentence(days: Sequence[DayLine], limit: LimitLine | None) -> str:
    if not days or not any(day.gpu for day in days):
        return "No GPU hours were used or reserved this month."
    most = max(days, key=lambda day: day.gpu)
    told = (
        f"{days[-1].total_hours} GPU hours were used or reserved since the first; the most on one "
        f"day were {most.gpu_hours} on {most.day}."
    )
    return told if limit is None else f"{told} That is {limit.percent} % of the quota."
