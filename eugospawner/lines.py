"""
Lines: how it stands with limits, in words.

The spawn page, the usage pages, the API and the command line say the same of the same limit, because
they all say what stands here. Source: features L6, F98 to F102.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from eugospawner.choices import size
from eugospawner.policy.entitlement_rules import local
from eugospawner.policy.limits import used_words, words_of
from eugospawner.policy.quota import Span, SubjectKind
from eugospawner.policy.standing import Filling
from eugospawner.policy.units import size_words

if TYPE_CHECKING:
    from eugospawner.policy.quota import Limit
    from eugospawner.policy.standing import Standing, StorageStanding
    from eugospawner.store.measures import Measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One limit as people read it; *tone* is that of a badge."""

    limit: str
    used: str
    left: str
    resets: str
    share: str
    tone: Literal["good", "warn", "danger"]


def line_of(standing: Standing, zone: str, whose: str | None = None) -> Line:
    """
    Return the line of *standing*, with times of *zone*.

    Args:
        whose: Of whom the limit is; `None`: as its owner reads it.
    """
    limit, period = standing.limit, standing.period
    resets = "whenever something stops"
    if period is not None:
        resets = local(period.end, zone)
        for what, at in (("all used up", standing.spent_at), ("80 % used", standing.warned_at)):
            if at is not None:
                resets += f"; at this rate {what} {local(at, zone)}"
        if standing.is_warned and not standing.is_spent and standing.spent_at is None:
            resets += "; at this rate it lasts until then"
    return Line(
        limit=label_of(limit, whose),
        used=used_words(standing.used, limit),
        left=words_of(standing.left, limit),
        resets=resets,
        share=_share(standing),
        tone=_tone(standing),
    )


def storage_line_of(standing: StorageStanding, whose: str | None = None) -> Line:
    """Return the line of *standing*; *whose* as of `line_of`."""
    limit = standing.limit
    return Line(
        limit=f"Extra volumes, {whose or _WHOSE[limit.subject.kind]}",
        used=f"{size(standing.used)} of {size(standing.amount)}",
        left=size(standing.left),
        resets="whenever a volume is deleted",
        share=_share(standing),
        tone=_tone(standing),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """How full a volume is, as people read it; *tone* is that of a badge."""

    word: str
    tone: Literal["good", "warn", "danger", "neutral"]
    percent: int
    used: str


def fill_of(measure: Measure | None) -> Fill:
    """Return how full the volume of *measure* was when it was measured; `None`: nothing is known of it."""
    if measure is None or measure.measured_at is None:
        return Fill(word="Not measured yet", tone="neutral", percent=0, used="")
    filling = Filling(used=measure.used_bytes, capacity=measure.capacity_bytes)
    # A disk that others fill is as full as one's own files make it.
    is_full = filling.is_spent or not measure.free_bytes
    return Fill(
        word="Full" if is_full else f"{filling.percent} % full",
        tone="danger" if is_full else _tone(filling),
        percent=100 if is_full else min(filling.percent, 100),
        used=f"{size_words(filling.used)} of {size_words(filling.amount)}",
    )


def _share(standing: Standing | StorageStanding) -> str:
    return "Used up" if standing.is_spent else f"{standing.percent} % used"


def _tone(standing: Standing | StorageStanding | Filling) -> Literal["good", "warn", "danger"]:
    if standing.is_spent:
        return "danger"
    return "warn" if standing.is_warned else "good"


def label_of(limit: Limit, whose: str | None = None) -> str:
    """Return what a limit is called on the page: ``This month, you (L40S)``."""
    model = f" ({limit.gpu_model})" if limit.gpu_model else ""
    when = "At once" if limit.span is Span.AT_ONCE else f"This {limit.span}"
    return f"{when}, {whose or _WHOSE[limit.subject.kind]}{model}"


#: Whose limit it is, as the owner reads it.
_WHOSE: Final = {
    SubjectKind.USER: "you",
    SubjectKind.PROJECT: "the project",
    SubjectKind.QUEUE: "the queue",
    SubjectKind.GROUP: "the group",
    SubjectKind.ORGANIZATION: "the organization",
}
