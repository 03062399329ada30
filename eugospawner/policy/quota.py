"""
Quota: what sessions take, what limits leave, and how long a session may run.

A session takes *rates*: GPU percent, millicores and MiB of memory. Held at once they count
against limits of the moment; over time they become amounts, rate × milliseconds, that count per
calendar day or month of the accounting zone. At admission the whole session is reserved, from its
start to its deadline, and a session that would outlast what is left gets an earlier deadline
instead of a refusal; so settled + reserved never passes a limit (promise 2). `fit` is that one
rule: the form asks it about usage as last read, the store about usage in its own transaction.

*Cells* are where usage is kept: one per subject, period and GPU model; a limit on a model reads
one, a limit on all of them reads their sum. All amounts are integers:

- GPU: GPU-milliseconds·percent; one whole GPU for one hour is 360,000,000
- CPU: millicore-milliseconds
- memory: MiB-milliseconds (in bytes an organization's month would not fit into 64 bits)

Source: design §§2 (promises 2 and 3), 4 and 5; F98 to F102; L1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from eugospawner.policy.errors import PolicyError
from eugospawner.policy.windows import instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MILLISECOND: Final = timedelta(milliseconds=1)
HOUR_MS: Final = 3_600_000
MIB: Final = 2**20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: A session that could run for less is refused: it would end before its editor is open.
SHORTEST: Final = timedelta(minutes=1)
#: Share of a limit from which people are warned (F101).
WARN_PERCENT: Final = 80


class Resource(StrEnum):
    """What is counted."""

    GPU = "gpu"
    CPU = "cpu"
    MEMORY = "memory"


class Span(StrEnum):
    """Over which time a limit counts."""

    AT_ONCE = "at-once"
    DAY = "day"
    MONTH = "month"


class SubjectKind(StrEnum):
    """What a limit can apply to."""

    USER = "user"
    PROJECT = "project"
    GROUP = "group"
    ORGANIZATION = "organization"
    QUEUE = "queue"


class Subject(NamedTuple):
    """User, project, group, organization or queue that a limit applies to."""

    kind: SubjectKind
    key: str


class Amounts(NamedTuple):
    """One amount of each resource: rates, or rates × milliseconds."""

    gpu: int = 0
    cpu: int = 0
    memory: int = 0

    def of(self, resource: Resource) -> int:
        """Return the amount of *resource*."""
        match resource:
            case Resource.GPU:
                return self.gpu
            case Resource.CPU:
                return self.cpu
            case Resource.MEMORY:
                return self.memory

    def plus(self, other: Amounts) -> Amounts:
        """Return the sum."""
        return Amounts(self.gpu + other.gpu, self.cpu + other.cpu, self.memory + other.memory)

    def minus(self, other: Amounts) -> Amounts:
        """Return the difference."""
        return Amounts(self.gpu - other.gpu, self.cpu - other.cpu, self.memory - other.memory)

    def times(self, factor: int) -> Amounts:
        """Return the amounts *factor* times."""
        return Amounts(self.gpu * factor, self.cpu * factor, self.memory * factor)


NOTHING: Final = Amounts()


class Cell(NamedTuple):
    """
    Where usage is kept.

    Attributes:
        start: ISO day (`2026-11-26`) or month (`2026-11`) of the accounting zone; empty: at once.
        gpu_model: Model key; empty: without a GPU.
    """

    subject: Subject
    span: Span
    start: str
    gpu_model: str


class Used(NamedTuple):
    """What a cell holds: settled for good, and reserved by sessions that are open."""

    settled: Amounts = NOTHING
    reserved: Amounts = NOTHING

    def of(self, resource: Resource) -> int:
        """Return what counts against a limit."""
        return self.settled.of(resource) + self.reserved.of(resource)


UNUSED: Final = Used()


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One day or month of the accounting zone: [start, end), aware UTC."""

    key: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """
    One amount that a subject may use.

    Attributes:
        key: Names it to people and admins: the quota's key, or the plan's.
        gpu_model: Counts this model alone; `None`: all together.
        amount: In the unit of *resource*, per time for `AT_ONCE`.
    """

    key: str
    subject: Subject
    resource: Resource
    span: Span
    gpu_model: str | None
    amount: int


#: Six amounts: settled, then reserved, of each resource; a list, because thousands are added to it.
Tally: TypeAlias = list[int]
_PLACE: Final = {Resource.GPU: 0, Resource.CPU: 1, Resource.MEMORY: 2}


class Usage:
    """
    What was used and is reserved, by cell; a cell that is absent is empty.

    Args:
        cells: Read when this is made; later changes of the mapping are not seen.
    """

    def __init__(self, cells: Mapping[Cell, Used]) -> None:
        self._by_model: dict[tuple[Subject, Span, str], dict[str, Tally]] = {}
        for cell, used in cells.items():
            self.put(cell, used)

    def against(self, limit: Limit, start: str) -> int:
        """Return what counts against *limit* in the period that begins at *start*."""
        by_model = self._by_model.get((limit.subject, limit.span, start), {})
        settled = _PLACE[limit.resource]
        reserved = settled + len(_PLACE)
        if limit.gpu_model is None:
            return sum(tally[settled] + tally[reserved] for tally in by_model.values())
        tally = by_model.get(limit.gpu_model)
        return tally[settled] + tally[reserved] if tally else 0

    def split(self, limit: Limit, start: str) -> tuple[int, int]:
        """Return what is settled and what is reserved of that which `against` returns."""
        by_model = self._by_model.get((limit.subject, limit.span, start), {})
        place = _PLACE[limit.resource]
        tallies = [tally for model, tally in by_model.items() if limit.gpu_model in {None, model}]
        return (
            sum(tally[place] for tally in tallies),
            sum(tally[place + len(_PLACE)] for tally in tallies),
        )

    def used(self, cell: Cell) -> Used:
        """Return what *cell* holds."""
        tally = self._by_model.get(cell[:3], {}).get(cell.gpu_model)
        return Used(Amounts(*tally[:3]), Amounts(*tally[3:])) if tally else UNUSED

    def put(self, cell: Cell, used: Used) -> None:
        """Have *cell* hold *used*; for whoever reserves one session after another."""
        self.keep(*cell, [*used.settled, *used.reserved])

    def keep(self, subject: Subject, span: Span, start: str, gpu_model: str, tally: Tally) -> None:
        """Have the cell hold *tally* itself, as `tally` returns it."""
        self._by_model.setdefault((subject, span, start), {})[gpu_model] = tally

    def tally(self, cell: Cell) -> Tally:
        """Return the amounts of *cell* to add to in place: settled, then reserved, by resource."""
        by_model = self._by_model.setdefault(cell[:3], {})
        return by_model.setdefault(cell.gpu_model, [0] * (2 * len(_PLACE)))


NOTHING_USED: Final = Usage({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """
    What a session would take, from its start to the latest deadline it could get.

    Attributes:
        subjects: All on whose account it runs.
        gpu_model: Model key; empty: none.
        rates: GPU percent, millicores, MiB.
        latest_end: Where it ends if no quota ends it before; no earlier than *start*.
        because: What *latest_end* comes from.
        limits: Those that count it; others do no harm.
        zone: IANA name of the accounting zone, for days and months.
    """

    subjects: tuple[Subject, ...]
    gpu_model: str
    rates: Amounts
    start: datetime
    latest_end: datetime
    because: str
    limits: tuple[Limit, ...]
    zone: str


#: What a deadline comes from if a quota is it.
EXHAUSTED: Final = "quota-exhausted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """The demand can be met until *ends_at*; *limit* is the quota that ends it, if one does."""

    ends_at: datetime
    because: str
    limit: Limit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """
    A limit that leaves too little.

    Attributes:
        used: What counts against it already.
        asked: What the session would add at least: its rate, or the shortest session's amount.
        resets_at: When its period ends; `None`: whenever something is released.
    """

    limit: Limit
    used: int
    asked: int
    resets_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeds:
    """The demand cannot be met; *limits* is never empty and stands in the demand's order."""

    limits: tuple[Exceeded, ...]


def fit(demand: Demand, usage: Usage) -> Fits | Exceeds:
    """
    Return until when *demand* can be met, or which limits leave too little.

    Limits are exact: the deadline is the last millisecond that every one of them covers.

    Source: design §2, promise 2; L1.
    """
    demand = replace(demand, start=whole_millisecond(demand.start))
    exceeded: list[Exceeded] = []
    best = Fits(ends_at=whole_millisecond(demand.latest_end), because=demand.because)
    for limit in demand.limits:
        if not counts(limit, demand):
            continue
        if limit.span is Span.AT_ONCE:
            used, rate = usage.against(limit, ""), demand.rates.of(limit.resource)
            if used + rate > limit.amount:
                exceeded.append(Exceeded(limit=limit, used=used, asked=rate, resets_at=None))
            continue
        end, spent = _covered_until(limit, demand, usage, best.ends_at)
        if spent is not None and end - demand.start < SHORTEST:
            exceeded.append(spent)
        elif end < best.ends_at:
            best = Fits(ends_at=end, because=EXHAUSTED, limit=limit)
    return Exceeds(limits=tuple(exceeded)) if exceeded else best


def cover(demand: Demand, usage: Usage) -> Fits:
    """
    Return until when *demand* is covered that runs already: to the millisecond, however short.

    What it holds at once is a fact and no question any more; what its limits leave is its time.
    """
    demand = replace(demand, start=whole_millisecond(demand.start))
    best = Fits(ends_at=whole_millisecond(demand.latest_end), because=demand.because)
    for limit in demand.limits:
        if limit.span is not Span.AT_ONCE and counts(limit, demand):
            end, _ = _covered_until(limit, demand, usage, best.ends_at)
            if end < best.ends_at:
                best = Fits(ends_at=end, because=EXHAUSTED, limit=limit)
    return best


def counts(limit: Limit, demand: Demand) -> bool:
    """Whether *limit* counts anything of *demand*."""
    return (
        limit.subject in demand.subjects
        and demand.rates.of(limit.resource) > 0
        and (limit.gpu_model is None or limit.gpu_model == demand.gpu_model)
    )


def _covered_until(
    limit: Limit, demand: Demand, usage: Usage, end: datetime
) -> tuple[datetime, Exceeded | None]:
    """Return how far *limit* covers [start, end), and what it lacks if not to the end."""
    rate = demand.rates.of(limit.resource)
    for period in periods(limit.span, demand.zone, demand.start, end):
        used = usage.against(limit, period.key)
        begin, until = max(period.start, demand.start), min(period.end, end)
        covered = max(limit.amount - used, 0) // rate
        if covered < (until - begin) // MILLISECOND:
            lacking = Exceeded(
                limit=limit,
                used=used,
                asked=rate * (SHORTEST // MILLISECOND),
                resets_at=period.end,
            )
            return begin + covered * MILLISECOND, lacking
    return end, None


def shares(
    rates: Amounts, zone: str, start: datetime, end: datetime
) -> Iterator[tuple[str, Amounts]]:
    """
    Yield each day of [start, end) with its part of what *rates* come to; nothing if it is empty.

    Times count to the millisecond, so the parts of adjacent intervals add up to the whole.
    """
    for period in periods(Span.DAY, zone, start, end):
        first, last = max(period.start, start), min(period.end, end)
        if length := milliseconds(last) - milliseconds(first):
            yield period.key, rates.times(length)


def milliseconds(at: datetime) -> int:
    """Return the whole milliseconds from 1970 to *at*."""
    return (at - _EPOCH) // MILLISECOND


def whole_millisecond(at: datetime) -> datetime:
    """Return *at* without its part of a millisecond."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def month_of(day: str) -> str:
    """Return the month of an ISO day: ``2026-11`` of ``2026-11-26``."""
    return day[:7]


def periods(span: Span, zone: str, start: datetime, end: datetime) -> Iterator[Period]:
    """
    Yield the days or months of *zone* that overlap [start, end), in order.

    Raises:
        PolicyError: *span* is no calendar period.
    """
    if span is Span.AT_ONCE:
        message = "at-once is no calendar period"
        raise PolicyError(message)
    if start >= end:
        return
    at = _first_day(span, start.astimezone(ZoneInfo(zone)).date())
    while True:
        period = _period(span, zone, at)
        # A zone that crosses the date line skips a day; one whose clock goes back over midnight
        # shows a date again that is over, since a day begins when its midnight is first shown.
        if max(period.start, start) < period.end:
            yield period
        if period.end >= end:
            return
        at = _next(span, at)


def period_at(span: Span, zone: str, at: datetime) -> Period:
    """Return the day or month of *zone* that holds *at*."""
    return next(periods(span, zone, at, at + MILLISECOND))


def _first_day(span: Span, day: date) -> date:
    return day.replace(day=1) if span is Span.MONTH else day


def _next(span: Span, first: date) -> date:
    if span is Span.DAY:
        return first + timedelta(days=1)
    return (first + timedelta(days=31)).replace(day=1)


@lru_cache(maxsize=512)
def _period(span: Span, zone: str, first: date) -> Period:
    return Period(
        key=first.isoformat() if span is Span.DAY else month_of(first.isoformat()),
        start=_midnight(zone, first),
        end=_midnight(zone, _next(span, first)),
    )


def _midnight(zone: str, day: date) -> datetime:
    """Return when *day* begins in *zone*: at a midnight that a clock change skips, after it."""
    return instant(zone, datetime.combine(day, time.min))


def mib(size_bytes: int) -> int:
    """Return bytes in MiB, rounded up: never less than what is used."""
    return -(-size_bytes // MIB)
