"""
Trial: what changed settings would have done to what people asked for (L11).

Recorded requests are lived through twice, once under the settings as they are and once as they
would be, from the same beginning: only what the two lives differ in is told, so an imprecision of
the simulation is no finding, and no change finds nothing. In either life a workspace runs as long as
it really did, at most to its deadline; one that was really refused, and is admitted there, runs as
long as the median of those that ran. Whether GPUs were free is not asked: nobody knows it any more.
Pure; nothing is written anywhere. Source: features L11.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING, Final

from eugospawner import options
from eugospawner.policy import admission
from eugospawner.policy.accounts import Actor
from eugospawner.policy.capacity import UNKNOWN_CLUSTER
from eugospawner.policy.decisions import Admitted, Denied, Queued
from eugospawner.policy.quota import NOTHING, Amounts, Cell, Span, Usage, Used, month_of, shares
from eugospawner.policy.volumes import Volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from eugospawner.policy.decisions import Decision
    from eugospawner.policy.quota import Demand
    from eugospawner.settings import Settings

_LONGEST: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    A request on record.

    Attributes:
        options: JSON words; `None`: they are not on record.
        ran: How long it really ran, up to now if it still does; `None`: it was refused, or never
            came to run.
    """

    at: datetime
    owner: str
    workspace: str
    actor: str
    options: Mapping[str, object] | None
    ran: timedelta | None


class Kind(StrEnum):
    """How two answers differ."""

    DENIED = "denied"
    ADMITTED = "admitted"
    SHORTER = "shorter"
    LONGER = "longer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A request that the two lives answer differently."""

    asked: Asked
    before: Decision
    after: Decision
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a trial found: the differences in the order of asking, and how many were not tried."""

    differences: tuple[Difference, ...]
    tried: int
    skipped: int

    def of(self, kind: Kind) -> tuple[Difference, ...]:
        """Return the differences of one kind."""
        return tuple(each for each in self.differences if each.kind is kind)


def try_out(
    requests: Sequence[Asked],
    *,
    before: Settings,
    after: Settings,
    used: Mapping[Cell, Used],
    slug: Callable[[str], str],
) -> Findings:
    """
    Return what differs between the lives of *requests* under the settings *before* and *after*.

    Args:
        requests: In the order in which they were asked.
        used: What counted when the first of them was asked.
        slug: Makes a user's name fit for a label.
    """
    known = [asked for asked in requests if asked.options is not None]
    usual = _usual(known)
    answers = [_live(known, settings, Usage(used), usual, slug) for settings in (before, after)]
    differences = tuple(
        Difference(asked=asked, before=one, after=two, kind=kind)
        for asked, one, two in zip(known, *answers, strict=True)
        if (kind := _kind(asked, one, two, usual)) is not None
    )
    return Findings(differences=differences, tried=len(known), skipped=len(requests) - len(known))


def _usual(requests: Sequence[Asked]) -> timedelta:
    """Return how long a workspace runs that never ran."""
    lengths = [asked.ran.total_seconds() for asked in requests if asked.ran is not None]
    return timedelta(seconds=median(lengths)) if lengths else _LONGEST


def _kind(asked: Asked, one: Decision, two: Decision, usual: timedelta) -> Kind | None:
    earlier, later = _admitted(one), _admitted(two)
    if earlier is None or later is None:
        if earlier is later:
            return None
        return Kind.ADMITTED if earlier is None else Kind.DENIED
    ran = asked.ran or usual
    ends = [min(asked.at + ran, each.ends_at) for each in (earlier, later)]
    if ends[0] == ends[1]:
        return None  # another deadline, and it made no difference
    return Kind.SHORTER if ends[1] < ends[0] else Kind.LONGER


def _admitted(decision: Decision) -> Admitted | None:
    match decision:
        case Queued(admitted=admitted):
            return admitted
        case Admitted():
            return decision
        case _:
            return None


def _live(
    requests: Sequence[Asked],
    settings: Settings,
    usage: Usage,
    usual: timedelta,
    slug: Callable[[str], str],
) -> list[Decision]:
    """Return the answers to *requests*, each with what those before it hold and have used."""
    answers: list[Decision] = []
    running: list[tuple[datetime, int, Demand, datetime]] = []
    for number, asked in enumerate(requests):
        while running and running[0][0] <= asked.at:
            ended_at, _, demand, ends_at = heapq.heappop(running)
            _end(usage, demand, ended_at, ends_at)
        decision = _decide(asked, settings, usage, slug)
        answers.append(decision)
        admitted = _admitted(decision)
        if admitted is not None:
            demand = replace(admitted.demand, start=asked.at)
            _begin(usage, demand, admitted.ends_at)
            ended_at = min(asked.at + (asked.ran or usual), admitted.ends_at)
            heapq.heappush(running, (ended_at, number, demand, admitted.ends_at))
    return answers


def _decide(asked: Asked, settings: Settings, usage: Usage, slug: Callable[[str], str]) -> Decision:
    request = options.parse(dict(asked.options or {}), owner=asked.owner, workspace=asked.workspace)
    if isinstance(request, tuple):
        return Denied(refusals=request)
    return admission.decide(
        # Volumes are those of another day: a request for one is tried without it.
        replace(request, volumes=()),
        Actor(name=asked.actor, is_admin=asked.actor != asked.owner),
        settings.catalog,
        settings.directory.accounts_of(asked.owner, slug(asked.owner)),
        usage,
        Volumes(by_key={}),
        UNKNOWN_CLUSTER,
        asked.at,
    )


def _begin(usage: Usage, demand: Demand, ends_at: datetime) -> None:
    """Hold at once, and reserve to the deadline, what *demand* takes."""
    _hold(usage, demand, demand.rates)
    _reserve(usage, demand, demand.start, ends_at, 1)


def _end(usage: Usage, demand: Demand, ended_at: datetime, ends_at: datetime) -> None:
    """Hold it no longer, and let go what was not used; what was used stays counted."""
    _hold(usage, demand, NOTHING.minus(demand.rates))
    _reserve(usage, demand, ended_at, ends_at, -1)


def _hold(usage: Usage, demand: Demand, rates: Amounts) -> None:
    for subject in demand.subjects:
        _add(usage, Cell(subject, Span.AT_ONCE, "", demand.gpu_model), rates)


def _reserve(usage: Usage, demand: Demand, start: datetime, end: datetime, sign: int) -> None:
    for day, amounts in shares(demand.rates, demand.zone, start, end):
        for subject in demand.subjects:
            for span, begins in ((Span.DAY, day), (Span.MONTH, month_of(day))):
                _add(usage, Cell(subject, span, begins, demand.gpu_model), amounts.times(sign))


def _add(usage: Usage, cell: Cell, amounts: Amounts) -> None:
    tally = usage.tally(cell)
    for place, amount in enumerate(amounts, start=len(amounts)):
        tally[place] += amount


def sentences_of(findings: Findings) -> tuple[str, ...]:
    """Return what was found, in sentences such as "It would have denied 12 starts of 4 users"."""
    told = []
    for kind, words in (
        (Kind.DENIED, "denied {starts} of {users}"),
        (Kind.ADMITTED, "admitted {starts} of {users} that were refused"),
        (Kind.SHORTER, "stopped {workspaces} of {users} earlier"),
        (Kind.LONGER, "let {workspaces} of {users} run longer"),
    ):
        found = findings.of(kind)
        if found:
            users = len({each.asked.owner for each in found})
            told.append(
                "It would have "
                + words.format(
                    starts=_count(len(found), "start"),
                    workspaces=_count(len(found), "workspace"),
                    users=_count(users, "user"),
                )
                + "."
            )
    reasons = Counter(
        str(each.after.first.reason)
        for each in findings.of(Kind.DENIED)
        if isinstance(each.after, Denied)
    )
    if reasons:
        listed = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
        told.append(f"Reasons of the denials: {listed}.")
    return tuple(told) or ("It would have changed nothing.",)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
