"""
Amounts, calendar periods, and how long a session may run (F98 to F101, L1; promise 2).

What `fit` answers is compared with somebody who tries each end and counts the minutes that the
clock on the wall shows in each day and month, and with what the store would then reserve.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eugospawner.policy.errors import PolicyError
from eugospawner.policy.quota import (
    EXHAUSTED,
    MILLISECOND,
    NOTHING,
    NOTHING_USED,
    SHORTEST,
    UNUSED,
    Amounts,
    Cell,
    Demand,
    Exceeded,
    Exceeds,
    Fits,
    Limit,
    Period,
    Resource,
    Span,
    Subject,
    SubjectKind,
    Usage,
    Used,
    counts,
    cover,
    fit,
    mib,
    milliseconds,
    month_of,
    period_at,
    periods,
    shares,
    whole_millisecond,
)

ALICE = Subject(SubjectKind.USER, "alice")
LAB = Subject(SubjectKind.PROJECT, "lab")
BOB = Subject(SubjectKind.USER, "bob")
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def a_limit(amount: int, span: Span = Span.DAY, **changes: object) -> Limit:
    """So many GPU-milliseconds·percent of Alice, of all models."""
    limit = Limit(
        key="a-limit",
        subject=ALICE,
        resource=Resource.GPU,
        span=span,
        gpu_model=None,
        amount=amount,
    )
    return replace(limit, **changes)  # type: ignore[arg-type]


def a_demand(*limits: Limit, **changes: object) -> Demand:
    """One H100 with one CPU and 1 GiB for eight hours at most, in Berlin."""
    demand = Demand(
        subjects=(ALICE, LAB),
        gpu_model="H100",
        rates=Amounts(gpu=100, cpu=1000, memory=1024),
        start=START,
        latest_end=START + 8 * HOUR,
        because="max-session",
        limits=limits,
        zone="Europe/Berlin",
    )
    return replace(demand, **changes)  # type: ignore[arg-type]


def in_day(day: str, gpu: int, model: str = "H100") -> Usage:
    return Usage({Cell(ALICE, Span.DAY, day, model): Used(settled=Amounts(gpu=gpu))})


# Amounts


@given(*[st.tuples(*[st.integers(-(10**9), 10**9)] * 3)] * 2)
def test_amounts_add_up_resource_by_resource(one: tuple[int, ...], two: tuple[int, ...]) -> None:
    first, second = Amounts(*one), Amounts(*two)
    total = first.plus(second)
    assert [total.of(each) for each in Resource] == [x + y for x, y in zip(one, two, strict=True)]
    assert total.minus(second) == first
    assert first.times(3) == first.plus(first).plus(first)
    assert NOTHING.minus(first) == first.times(-1)


def test_what_is_settled_and_what_is_reserved_both_count() -> None:
    used = Used(settled=Amounts(gpu=3), reserved=Amounts(gpu=4, cpu=5))
    assert [used.of(each) for each in Resource] == [7, 5, 0]


@pytest.mark.parametrize(("size", "amount"), [(0, 0), (1, 1), (2**20, 1), (2**20 + 1, 2)])
def test_mebibytes_are_never_less_than_what_is_used(size: int, amount: int) -> None:
    assert mib(size) == amount


def test_times_count_to_the_millisecond() -> None:
    at = datetime(1970, 1, 1, 0, 0, 1, 2999, tzinfo=UTC)
    assert milliseconds(at) == 1002
    assert whole_millisecond(at) == datetime(1970, 1, 1, 0, 0, 1, 2000, tzinfo=UTC)
    assert month_of("2026-11-26") == "2026-11"


# Usage


def test_a_limit_on_all_models_counts_every_model_that_there_is_or_was() -> None:
    """None is named anywhere, so none can be forgotten: not those that left the catalog either."""
    day = "2026-11-24"
    usage = Usage(
        {
            Cell(ALICE, Span.DAY, day, model): Used(reserved=Amounts(gpu=amount))
            for model, amount in (("", 1), ("H100", 10), ("GTX 280", 100))
        }
    )
    assert usage.against(a_limit(0), day) == 111
    assert usage.against(a_limit(0, gpu_model="H100"), day) == 10
    assert usage.against(a_limit(0, gpu_model="L4"), day) == 0


@pytest.mark.parametrize(
    "limit",
    [
        a_limit(0, subject=LAB),
        a_limit(0, span=Span.MONTH),
        a_limit(0, span=Span.AT_ONCE),
        a_limit(0, resource=Resource.CPU),
    ],
)
def test_usage_of_another_kind_does_not_count(limit: Limit) -> None:
    assert in_day("2026-11-24", 5).against(limit, "2026-11-24") == 0


def test_what_is_put_counts_and_the_mapping_is_left_alone() -> None:
    cell = Cell(ALICE, Span.DAY, "2026-11-24", "L4")
    cells: dict[Cell, Used] = {}
    usage = Usage(cells)
    assert usage.used(cell) == UNUSED
    usage.put(cell, Used(reserved=Amounts(gpu=7)))
    assert usage.used(cell).of(Resource.GPU) == 7
    assert usage.against(a_limit(0), "2026-11-24") == 7
    assert usage.against(a_limit(0), "2026-11-25") == 0
    assert not cells


# Periods

ZONES = sorted(available_timezones() - {"localtime"})
SOME_ZONES = st.sampled_from(ZONES)
#: Zones where midnight is missing, comes twice, or comes again after the date has changed.
ODD = [
    ("Pacific/Apia", "2011-12-29 12:00", "the day that was skipped"),
    ("Pacific/Kwajalein", "1993-08-20 12:00", "another"),
    ("America/Havana", "2026-03-08 03:00", "no midnight"),
    ("America/Havana", "2026-11-01 03:00", "midnight twice"),
    ("Africa/Cairo", "2026-04-23 12:00", "no midnight"),
    ("Africa/Cairo", "2026-10-29 12:00", "the last hour of the day twice"),
    ("Asia/Beirut", "2026-03-28 20:00", "no midnight"),
    ("America/St_Johns", "2010-11-07 02:00", "back over midnight"),
    ("America/Goose_Bay", "1988-10-30 01:00", "two hours back over midnight"),
    ("Antarctica/Casey", "2010-03-04 12:00", "three hours back over midnight"),
    ("Australia/Lord_Howe", "2027-04-03 12:00", "half an hour"),
    ("Europe/Berlin", "2026-10-25 00:00", "25 hours"),
]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def assert_tiled(span: Span, zone: str, start: datetime, end: datetime) -> None:
    found = list(periods(span, zone, start, end))
    assert found[0].start <= start < found[0].end
    assert found[-1].start < end <= found[-1].end
    for one, other in pairwise(found):
        assert one.end == other.start
        assert one.key < other.key
    for each in found:
        assert each.start < each.end
        shown = each.start.astimezone(ZoneInfo(zone)).date().isoformat()
        assert each.key == (shown if span is Span.DAY else shown[:7])
        assert period_at(span, zone, max(each.start, start)) == each
        assert period_at(span, zone, each.end - MILLISECOND) == each


@given(
    SOME_ZONES,
    st.datetimes(datetime(1970, 2, 1), datetime(2036, 1, 1)),  # noqa: DTZ001 - UTC, see below
    st.timedeltas(MILLISECOND, timedelta(days=70)),
    st.sampled_from([Span.DAY, Span.MONTH]),
)
@settings(max_examples=150)
def test_days_and_months_cover_all_time_without_gap_or_overlap(
    zone: str, start: datetime, lasts: timedelta, span: Span
) -> None:
    start = start.replace(tzinfo=UTC)
    assert_tiled(span, zone, start, start + lasts)


@pytest.mark.parametrize("span", [Span.DAY, Span.MONTH])
@pytest.mark.parametrize(
    ("zone", "about"), [odd[:2] for odd in ODD], ids=[f"{z} {w}" for z, _, w in ODD]
)
def test_so_they_do_where_midnight_is_odd(zone: str, about: str, span: Span) -> None:
    for quarters in range(-8, 100):
        start = at(about) + quarters * timedelta(minutes=15)
        for lasts in (MILLISECOND, HOUR, timedelta(days=3)):
            assert_tiled(span, zone, start, start + lasts)


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("Europe/Berlin", "2026-10-25", "2026-10-24 22:00", 25),
        ("Europe/Berlin", "2027-03-28", "2027-03-27 23:00", 23),
        ("America/Havana", "2026-03-08", "2026-03-08 05:00", 23),
        ("America/Havana", "2026-11-01", "2026-11-01 04:00", 25),
        ("Africa/Cairo", "2026-10-29", "2026-10-28 21:00", 25),
        ("America/St_Johns", "2010-11-07", "2010-11-07 02:30", 25),
        ("Pacific/Apia", "2011-12-31", "2011-12-30 10:00", 24),
    ],
)
def test_a_day_begins_when_its_midnight_is_first_shown(
    zone: str, day: str, begins: str, hours: int
) -> None:
    period = Period(key=day, start=at(begins), end=at(begins) + hours * HOUR)
    assert period_at(Span.DAY, zone, period.start) == period
    assert period_at(Span.DAY, zone, period.end - MILLISECOND) == period


def test_a_day_that_is_skipped_is_no_day() -> None:
    found = periods(Span.DAY, "Pacific/Apia", at("2011-12-29 12:00"), at("2012-01-01 00:00"))
    assert [each.key for each in found] == ["2011-12-29", "2011-12-31", "2012-01-01"]


def test_no_time_has_no_days() -> None:
    assert not list(periods(Span.DAY, "UTC", START, START))
    assert not list(periods(Span.MONTH, "UTC", START, START - HOUR))
    assert not list(shares(Amounts(gpu=1), "UTC", START, START))


def test_at_once_is_no_calendar_period() -> None:
    with pytest.raises(PolicyError, match="no calendar period"):
        next(periods(Span.AT_ONCE, "UTC", START, START + HOUR))


# Shares


@given(
    st.sampled_from([(zone, about) for zone, about, _ in ODD])
    | st.tuples(SOME_ZONES, st.just("2026-11-24 12:00")),
    st.lists(st.integers(0, 72 * 3_600_000_000), min_size=2, max_size=5).map(sorted),
    st.builds(Amounts, st.integers(0, 400), st.integers(0, 64_000), st.integers(0, 10**6)),
)
@settings(max_examples=200)
def test_shares_add_up_over_whatever_points_they_are_split_at(
    where: tuple[str, str], offsets: list[int], rates: Amounts
) -> None:
    """Settled minute by minute comes to what was reserved at once, to the last unit."""
    zone, about = where
    points = [at(about) + timedelta(microseconds=each) for each in offsets]
    whole: dict[str, Amounts] = dict(shares(rates, zone, points[0], points[-1]))
    split: dict[str, Amounts] = {}
    for begin, end in pairwise(points):
        for day, amounts in shares(rates, zone, begin, end):
            assert min(amounts) >= 0
            split[day] = split.get(day, NOTHING).plus(amounts)
    assert split == whole
    total = sum(each.gpu for each in whole.values())
    assert total == rates.gpu * (milliseconds(points[-1]) - milliseconds(points[0]))


# Fit


def test_nothing_is_asked_of_a_session_without_limits() -> None:
    assert fit(a_demand(), NOTHING_USED) == Fits(ends_at=START + 8 * HOUR, because="max-session")


@pytest.mark.parametrize(
    "limit",
    [
        a_limit(0, subject=BOB),
        a_limit(0, gpu_model="L4"),
        a_limit(0, resource=Resource.CPU, gpu_model="L4"),
    ],
)
def test_a_limit_that_does_not_count_the_session_does_no_harm(limit: Limit) -> None:
    assert not counts(limit, a_demand())
    assert isinstance(fit(a_demand(limit), NOTHING_USED), Fits)


def test_what_takes_none_of_a_resource_needs_none() -> None:
    limits = (a_limit(0), a_limit(0, span=Span.AT_ONCE))
    demand = a_demand(*limits, gpu_model="", rates=Amounts(cpu=1000))
    assert isinstance(fit(demand, in_day("2026-11-24", 10**9)), Fits)


def test_at_once_means_the_rate_beside_what_is_held() -> None:
    held = Usage({Cell(ALICE, Span.AT_ONCE, "", "L4"): Used(reserved=Amounts(gpu=50))})
    enough, short = (a_limit(amount, span=Span.AT_ONCE) for amount in (150, 149))
    assert isinstance(fit(a_demand(enough), held), Fits)
    assert fit(a_demand(short), held) == Exceeds(
        limits=(Exceeded(limit=short, used=50, asked=100, resets_at=None),)
    )


@pytest.mark.parametrize(("spare", "fits"), [(100 * 60_000, True), (100 * 60_000 - 1, False)])
def test_a_session_that_could_not_run_a_minute_is_refused(spare: int, fits: bool) -> None:
    """SHORTEST: it would end before its editor is open."""
    limit = a_limit(1000 + spare)
    outcome = fit(a_demand(limit), in_day("2026-11-24", 1000))
    if fits:
        assert outcome == Fits(ends_at=START + SHORTEST, because=EXHAUSTED, limit=limit)
    else:
        resets_at = at("2026-11-24 23:00")
        exceeded = Exceeded(limit=limit, used=1000, asked=100 * 60_000, resets_at=resets_at)
        assert outcome == Exceeds(limits=(exceeded,))


def test_a_session_that_is_shorter_anyway_is_not_refused_for_that() -> None:
    demand = a_demand(a_limit(100 * 30_000), latest_end=START + SHORTEST / 2)
    assert fit(demand, NOTHING_USED) == Fits(ends_at=START + SHORTEST / 2, because="max-session")
    short = a_demand(a_limit(100 * 29_999), latest_end=START + SHORTEST / 2)
    assert isinstance(fit(short, NOTHING_USED), Exceeds)


def test_no_time_at_all_fits_and_ends_at_once() -> None:
    demand = a_demand(a_limit(0), latest_end=START, because="plan-window")
    assert fit(demand, NOTHING_USED) == Fits(ends_at=START, because="plan-window")


def test_where_quota_and_session_end_together_the_session_is_the_cause() -> None:
    demand = a_demand(a_limit(100 * 8 * 3_600_000))
    assert fit(demand, NOTHING_USED) == Fits(ends_at=START + 8 * HOUR, because="max-session")


def test_a_new_day_brings_a_new_amount() -> None:
    """F100: what is used up today is there tomorrow, if the session lasts that long."""
    late = at("2026-11-24 22:30")  # half an hour before midnight in Berlin
    limit = a_limit(100 * 3_600_000)
    demand = a_demand(limit, start=late, latest_end=late + 8 * HOUR)
    assert fit(demand, NOTHING_USED) == Fits(
        ends_at=at("2026-11-25 00:00"), because=EXHAUSTED, limit=limit
    )
    outcome = fit(demand, in_day("2026-11-25", 100 * 3_600_000))
    assert outcome == Fits(ends_at=at("2026-11-24 23:00"), because=EXHAUSTED, limit=limit)
    just_before = replace(demand, start=at("2026-11-24 22:59:30"))
    refused = fit(just_before, in_day("2026-11-25", 100 * 3_600_000))
    assert isinstance(refused, Exceeds)
    assert refused.limits[0].resets_at == at("2026-11-25 23:00")


def test_parts_of_a_millisecond_belong_to_nobody() -> None:
    start = START + timedelta(microseconds=999)
    limit = a_limit(100 * 90_000 + 99)
    demand = a_demand(limit, start=start, latest_end=start + HOUR)
    assert fit(demand, NOTHING_USED) == Fits(
        ends_at=START + timedelta(seconds=90), because=EXHAUSTED, limit=limit
    )
    assert fit(replace(demand, limits=()), NOTHING_USED) == Fits(
        ends_at=START + HOUR, because="max-session"
    )


def test_every_limit_that_leaves_too_little_is_told_in_order() -> None:
    limits = (
        a_limit(99, span=Span.AT_ONCE),
        a_limit(10**12),
        a_limit(5, span=Span.MONTH),
        a_limit(0, subject=LAB, resource=Resource.CPU),
    )
    outcome = fit(a_demand(*limits), NOTHING_USED)
    assert isinstance(outcome, Exceeds)
    assert [each.limit for each in outcome.limits] == [limits[0], limits[2], limits[3]]


# Fit, by somebody who tries


@cache
def minutes(zone: str, span: Span, first: datetime) -> list[str]:
    """Return the day or month of each minute for some hours; a date does not come back."""
    clock, shown, found = ZoneInfo(zone), date.min, []
    for number in range(-2 * 24 * 60, 8 * 60):
        shown = max(shown, (first + number * MINUTE).astimezone(clock).date())
        if number >= 0:
            found.append(shown.isoformat() if span is Span.DAY else shown.isoformat()[:7])
    return found


def lasting(zone: str, span: Span, start: datetime, end: datetime) -> dict[str, int]:
    """Return how many milliseconds of [start, end) lie in each day or month."""
    first = start.replace(second=0, microsecond=0)
    found: dict[str, int] = {}
    for number, key in enumerate(minutes(zone, span, first)):
        begin = max(first + number * MINUTE, start)
        until = min(first + (number + 1) * MINUTE, end)
        if begin >= until:
            break
        found[key] = found.get(key, 0) + (until - begin) // MILLISECOND
    return found


def holds(limit: Limit, demand: Demand, cells: dict[Cell, Used], end: datetime) -> bool:
    """Whether *limit* would hold if the session ended at *end*."""
    rate = getattr(demand.rates, limit.resource)
    of_others = limit.gpu_model not in {None, demand.gpu_model}
    if rate == 0 or limit.subject not in demand.subjects or of_others:
        return True
    needed = (
        {"": 1}
        if limit.span is Span.AT_ONCE
        else lasting(demand.zone, limit.span, demand.start, end)
    )
    for key, length in needed.items():
        used = sum(
            getattr(part, limit.resource)
            for cell, held in cells.items()
            if cell[:3] == (limit.subject, limit.span, key)
            and limit.gpu_model in {None, cell.gpu_model}
            for part in held
        )
        if length and used + rate * length > limit.amount:
            return False
    return True


def last_end(demand: Demand, good: Callable[[datetime], bool]) -> datetime:
    """Return the last end that is *good*, by halving: if an end is good, so is every earlier one."""
    low, high = 0, (demand.latest_end - demand.start) // MILLISECOND
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if good(demand.start + middle * MILLISECOND) else (low, middle - 1)
        )
    return demand.start + low * MILLISECOND


SUBJECTS = st.sampled_from([ALICE, LAB, BOB])
SPANS = st.sampled_from(list(Span))
MODEL_KEYS = st.sampled_from(["", "H100", "L4"])
KEYS = {
    Span.AT_ONCE: [""],
    Span.DAY: ["2026-10-31", "2026-11-01", "2026-11-02", "2010-11-06", "2010-11-07"],
    Span.MONTH: ["2026-10", "2026-11", "2010-11"],
}
SMALL = st.integers(0, 300 * 60_000)


@st.composite
def limits_and_cells(draw: st.DrawFn) -> tuple[tuple[Limit, ...], dict[Cell, Used]]:
    limits = draw(
        st.lists(
            st.builds(
                Limit,
                key=st.text("abc", max_size=2),
                subject=SUBJECTS,
                resource=st.sampled_from(list(Resource)),
                span=SPANS,
                gpu_model=st.none() | st.sampled_from(["H100", "L4"]),
                amount=SMALL,
            ),
            max_size=6,
        )
    )
    cells = draw(
        st.dictionaries(
            SPANS.flatmap(
                lambda span: st.builds(
                    Cell, SUBJECTS, st.just(span), st.sampled_from(KEYS[span]), MODEL_KEYS
                )
            ),
            st.builds(Used, *[st.builds(Amounts, *[st.integers(0, 60 * 60_000)] * 3)] * 2),
            max_size=6,
        )
    )
    return tuple(limits), cells


demands = st.builds(
    Demand,
    subjects=st.sampled_from([(ALICE, LAB), (ALICE,)]),
    gpu_model=MODEL_KEYS,
    rates=st.builds(Amounts, *[st.integers(0, 4)] * 3),
    start=st.builds(
        lambda about, offset: at(about) + timedelta(milliseconds=offset),
        st.sampled_from(
            ["2026-11-01 03:50", "2026-10-31 22:58", "2010-11-07 02:28", "2026-11-01 05:00"]
        ),
        st.integers(0, 180_000),
    ),
    latest_end=st.just(START),  # set below
    because=st.just("max-session"),
    limits=st.just(()),
    zone=st.sampled_from(["America/Havana", "Europe/Berlin", "America/St_Johns", "UTC"]),
)


@given(demands, limits_and_cells(), st.integers(1, 6 * 3_600_000))
@settings(max_examples=200, deadline=None)
@example(a_demand(gpu_model=""), ((), {}), 1)
def test_fit_is_exactly_what_trying_each_end_finds(
    demand: Demand, drawn: tuple[tuple[Limit, ...], dict[Cell, Used]], length: int
) -> None:
    limits, cells = drawn
    demand = replace(demand, limits=limits, latest_end=demand.start + length * MILLISECOND)
    short = []
    ends_at = demand.latest_end
    for limit in limits:
        end = last_end(demand, lambda end, limit=limit: holds(limit, demand, cells, end))  # type: ignore[misc]
        if limit.span is Span.AT_ONCE:
            if not holds(limit, demand, cells, demand.latest_end):
                short.append(limit)
        elif end < demand.latest_end and end - demand.start < MINUTE:
            short.append(limit)
        else:
            ends_at = min(ends_at, end)

    outcome = fit(demand, Usage(cells))
    assert_cover_is_the_same_for_what_runs_already(demand, cells, outcome)

    if short:
        assert isinstance(outcome, Exceeds)
        assert [each.limit for each in outcome.limits] == short
        return
    assert isinstance(outcome, Fits)
    assert outcome.ends_at == ends_at
    assert (outcome.because == EXHAUSTED) == (ends_at < demand.latest_end)
    assert (outcome.limit is None) == (ends_at == demand.latest_end)
    shuffled = list(limits)
    Random(length).shuffle(shuffled)  # noqa: S311 - nothing is secret
    again = fit(replace(demand, limits=tuple(shuffled)), Usage(cells))
    assert isinstance(again, Fits)
    assert (again.ends_at, again.because) == (outcome.ends_at, outcome.because)
    assert_reservable_to_the_millisecond(demand, cells, outcome)


def assert_cover_is_the_same_for_what_runs_already(
    demand: Demand, cells: dict[Cell, Used], outcome: Fits | Exceeds
) -> None:
    """Neither what it holds nor the shortest session is asked for; the rest is as for a start."""
    running = replace(
        demand, limits=tuple(each for each in demand.limits if each.span is not Span.AT_ONCE)
    )
    covered = cover(demand, Usage(cells))
    if isinstance(outcome, Fits):
        assert covered == outcome
    ends = [
        last_end(running, lambda end, limit=limit: holds(limit, running, cells, end))  # type: ignore[misc]
        for limit in running.limits
    ]
    assert covered.ends_at == max(min([*ends, demand.latest_end]), demand.start)


def reserved(demand: Demand, cells: dict[Cell, Used], end: datetime) -> Usage:
    """Return the usage with the session in it, as the store reserves it."""
    usage = Usage(cells)

    def add(cell: Cell, amounts: Amounts) -> None:
        used = usage.used(cell)
        usage.put(cell, used._replace(reserved=used.reserved.plus(amounts)))

    for subject in demand.subjects:
        add(Cell(subject, Span.AT_ONCE, "", demand.gpu_model), demand.rates)
        for day, amounts in shares(demand.rates, demand.zone, demand.start, end):
            add(Cell(subject, Span.DAY, day, demand.gpu_model), amounts)
            add(Cell(subject, Span.MONTH, month_of(day), demand.gpu_model), amounts)
    return usage


def passed(demand: Demand, before: Usage, after: Usage, end: datetime) -> list[Limit]:
    """Return the limits that are passed in a period in which the session takes anything."""
    found = []
    for limit in demand.limits:
        keys = (
            [""]
            if limit.span is Span.AT_ONCE
            else [each.key for each in periods(limit.span, demand.zone, demand.start, end)]
        )
        for key in keys:
            total = after.against(limit, key)
            if total > limit.amount and total > before.against(limit, key):
                found.append(limit)
    return found


def assert_reservable_to_the_millisecond(
    demand: Demand, cells: dict[Cell, Used], outcome: Fits
) -> None:
    """Promise 2: what is reserved passes no limit, and a millisecond more would pass one."""
    before, end = Usage(cells), outcome.ends_at
    assert not passed(demand, before, reserved(demand, cells, end), end)
    if end < demand.latest_end:
        later = end + MILLISECOND
        assert passed(demand, before, reserved(demand, cells, later), later)
