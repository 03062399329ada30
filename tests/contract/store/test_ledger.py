"""
Reserve, bind, settle, release: to the millisecond, and every entry in its day and month.

F98 to F100, L1; promises 2, 3 and 5. Each test ends with the checker of `consistency`.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from eugospawner.policy.errors import StoreError
from eugospawner.policy.quota import (
    Amounts,
    Cell,
    Exceeds,
    Fits,
    Limit,
    Resource,
    Span,
    Subject,
    SubjectKind,
)
from eugospawner.store.sessions import Outdated
from tests.contract.store.consistency import check_ledger_consistency
from tests.contract.store.values import a_session
from tests.factories.sessions import a_demand, begin

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOUR_MS = 3_600_000
ALICE = Subject(SubjectKind.USER, "alice")


def a_limit(**changes):
    values = {
        "key": "gpu-month",
        "subject": ALICE,
        "resource": Resource.GPU,
        "span": Span.MONTH,
        "gpu_model": None,
        "amount": 100 * HOUR_MS,  # one GPU for an hour
    }
    return Limit(**values | changes)


async def usage_of(store, *cells, since=NOON):
    subjects = {cell.subject for cell in cells}
    usage = (await store.brief(revision=0, subjects=subjects, since=since)).usage
    return [(usage.used(cell).settled.gpu, usage.used(cell).reserved.gpu) for cell in cells]


@pytest.fixture(autouse=True)
async def consistent(store):
    yield
    await check_ledger_consistency(store)


def cell(span, start, subject=ALICE, model="H100"):
    return Cell(subject, span, start, model)


async def test_all_of_a_session_is_reserved_for_everybody_it_runs_for(store):
    new = a_session(admitted_at=NOON, group_key="lab", organization="acme", queue="batch")
    assert await begin(store, new) == Fits(ends_at=NOON + 8 * HOUR, because="max-session")
    for kind, key in (
        ("user", "alice"), ("project", "alice"), ("group", "lab"),
        ("organization", "acme"), ("queue", "batch"),
    ):  # fmt: skip
        whom = Subject(SubjectKind(kind), key)
        assert await usage_of(
            store,
            cell(Span.AT_ONCE, "", whom),
            cell(Span.DAY, "2026-11-24", whom),
            cell(Span.MONTH, "2026-11", whom),
        ) == [(0, 25), (0, 25 * 8 * HOUR_MS), (0, 25 * 8 * HOUR_MS)]


async def test_over_midnight_and_the_month_each_period_gets_its_part(store):
    start = datetime(2026, 11, 30, 22, tzinfo=BERLIN)
    await begin(store, a_session(admitted_at=start))
    assert await usage_of(
        store,
        cell(Span.DAY, "2026-11-30"),
        cell(Span.DAY, "2026-12-01"),
        cell(Span.MONTH, "2026-11"),
        cell(Span.MONTH, "2026-12"),
        since=start,
    ) == [(0, hours * 25 * HOUR_MS) for hours in (2, 6, 2, 6)]


@pytest.mark.parametrize(
    "spans",
    [(Span.AT_ONCE,), (Span.MONTH,), (Span.AT_ONCE, Span.DAY), tuple(Span)],
    ids=" and ".join,
)
async def test_spans_that_nobody_asked_for_are_not_read(store, spans):
    await begin(store, a_session(admitted_at=NOON))
    brief = await store.brief(revision=0, subjects=[ALICE], since=NOON, spans=frozenset(spans))
    for span, start, amount in (
        (Span.AT_ONCE, "", 25),
        (Span.DAY, "2026-11-24", 25 * 8 * HOUR_MS),
        (Span.MONTH, "2026-11", 25 * 8 * HOUR_MS),
    ):
        read = brief.usage.used(cell(span, start)).reserved.gpu
        assert read == (amount if span in spans else 0)


async def test_a_day_on_which_clocks_change_is_as_long_as_it_is(store):
    start = datetime(2026, 10, 25, 0, tzinfo=BERLIN)
    latest = datetime(2026, 10, 26, 1, tzinfo=BERLIN)
    await begin(store, a_session(admitted_at=start), latest_end=latest.astimezone(UTC))
    assert await usage_of(
        store, cell(Span.DAY, "2026-10-25"), cell(Span.DAY, "2026-10-26"), since=start
    ) == [(0, 25 * 25 * HOUR_MS), (0, 1 * 25 * HOUR_MS)]


async def test_waiting_is_not_charged_and_the_grant_counts(store):
    await begin(store, a_session(admitted_at=NOON))
    kept = await store.sessions.bind("s1", granted_percent=50, at=NOON + HOUR)
    assert kept == Fits(ends_at=NOON + 8 * HOUR, because="max-session")
    assert await usage_of(store, cell(Span.AT_ONCE, ""), cell(Span.DAY, "2026-11-24")) == [
        (0, 50),
        (0, 50 * 7 * HOUR_MS),
    ]


async def test_a_session_that_waited_has_all_its_time_if_today_rules_leave_it(store):
    new = a_session(admitted_at=NOON)
    await begin(store, new)
    later = a_demand(new, latest_end=NOON + 10 * HOUR)
    kept = await store.sessions.bind("s1", granted_percent=25, at=NOON + 2 * HOUR, demand=later)
    assert kept == Fits(ends_at=NOON + 10 * HOUR, because="max-session")
    assert (await store.sessions.get("s1")).ends_at == NOON + 10 * HOUR


async def test_more_than_was_asked_for_ends_sooner_and_never_costs_more_than_is_left(store):
    new, limit = a_session(admitted_at=NOON), a_limit(amount=25 * 4 * HOUR_MS)
    assert (await begin(store, new, limits=(limit,))).ends_at == NOON + 4 * HOUR
    demand = a_demand(new, limits=(limit, a_limit(span=Span.AT_ONCE, amount=25)))
    kept = await store.sessions.bind("s1", granted_percent=50, at=NOON, demand=demand)
    assert kept == Fits(ends_at=NOON + 2 * HOUR, because="quota-exhausted", limit=limit)


async def test_settling_turns_the_past_from_reserved_into_used(store):
    await begin(store, a_session(admitted_at=NOON))
    assert not await store.sessions.settle("s1", until=NOON + HOUR)  # not bound: nothing is used
    await store.sessions.bind("s1", granted_percent=25, at=NOON)
    assert await store.sessions.settle("s1", until=NOON + HOUR)
    day = cell(Span.DAY, "2026-11-24")
    assert await usage_of(store, day) == [(25 * HOUR_MS, 25 * 7 * HOUR_MS)]
    assert not await store.sessions.settle("s1", until=NOON + HOUR)  # again: nothing
    assert not await store.sessions.settle("s1", until=NOON)  # a clock that went back: nothing
    assert await store.sessions.settle("s1", until=NOON + 99 * HOUR)  # to the deadline at most
    assert await usage_of(store, day) == [(25 * 8 * HOUR_MS, 0)]
    assert not await store.sessions.settle("nobody's", until=NOON)


async def running(store, number, *, limits=(), **changes):
    """Alice's session s*number*: bound at noon, for eight hours."""
    new = a_session(f"s{number}", workspace=f"w{number}", **{"admitted_at": NOON} | changes)
    opened = await begin(store, new, limits=limits)
    assert isinstance(opened, Fits)
    await store.sessions.bind(f"s{number}", granted_percent=25, at=NOON)
    return new


async def entries(store):
    return await store._database.look(
        "count", lambda connection: connection.execute(text("SELECT count(*) FROM ledger")).scalar()
    )


async def test_a_running_session_gets_the_deadline_of_today_and_pays_for_that(store):
    """F69: longer or shorter; and a sweep that finds the same changes nothing."""
    new, day = await running(store, 1), cell(Span.DAY, "2026-11-24")
    await store.sessions.settle("s1", until=NOON + HOUR)
    for hours in (3, 10, 10):
        before = await entries(store)
        demand = a_demand(new, start=NOON + HOUR, latest_end=NOON + hours * HOUR)
        found = await store.sessions.renew({"s1": demand}, at=NOON + HOUR)
        assert await usage_of(store, day) == [(25 * HOUR_MS, 25 * (hours - 1) * HOUR_MS)]
        assert (await store.sessions.get("s1")).ends_at == NOON + hours * HOUR
        if found:
            assert found == {"s1": Fits(ends_at=NOON + hours * HOUR, because="max-session")}
            assert await entries(store) == before + 1
        else:
            assert await entries(store) == before
    assert found == {}


async def test_whose_time_is_over_by_the_rules_of_today_ends_now_and_pays_until_now(store):
    new, day = await running(store, 1), cell(Span.DAY, "2026-11-24")
    await store.sessions.settle("s1", until=NOON + HOUR)
    late = a_demand(new, latest_end=NOON + HOUR / 2)
    at = NOON + 2 * HOUR  # nobody has settled the hour before
    found = await store.sessions.renew({"s1": late}, at=at)
    assert found == {"s1": Fits(ends_at=at, because="max-session")}
    assert await usage_of(store, day) == [(25 * HOUR_MS, 25 * HOUR_MS)]
    assert await store.sessions.settle("s1", until=NOON + 9 * HOUR)
    assert await usage_of(store, day) == [(25 * 2 * HOUR_MS, 0)]


async def test_what_a_quota_leaves_goes_to_the_oldest_first(store):
    """F101: less quota ends them earlier, more gives their time back, to the millisecond."""
    news = [
        await running(store, number, admitted_at=NOON - number * timedelta(minutes=1))
        for number in range(3)
    ]  # s2 is the oldest

    async def renewed(hours):
        limit = a_limit(amount=25 * hours * HOUR_MS)
        demands = {
            new.id: a_demand(new, limits=(limit,), latest_end=NOON + 8 * HOUR) for new in news
        }
        await store.sessions.renew(demands, at=NOON)
        await check_ledger_consistency(store)
        found = [await store.sessions.get(f"s{number}") for number in range(3)]
        return [(each.ends_at - NOON, each.ends_because) for each in found]

    full, none = (8 * HOUR, "max-session"), (0 * HOUR, "quota-exhausted")
    assert await renewed(24) == [full, full, full]
    assert await renewed(12) == [none, (4 * HOUR, "quota-exhausted"), full]
    assert await usage_of(store, cell(Span.MONTH, "2026-11")) == [(0, 25 * 12 * HOUR_MS)]
    # s0 was to end at noon, and it is noon: it is overdue, and more quota does not wake it up.
    assert await renewed(24) == [none, full, full]


async def test_only_what_runs_and_is_not_overdue_gets_another_deadline(store):
    for number in range(4):
        new = a_session(f"s{number}", workspace=f"w{number}", admitted_at=NOON)
        await begin(store, new)
    await store.sessions.bind("s1", granted_percent=25, at=NOON)
    await store.sessions.bind("s2", granted_percent=25, at=NOON)
    await store.sessions.end("s2", reason="stopped", at=NOON + HOUR)
    before = await entries(store)
    for at, ids in ((NOON + 8 * HOUR, ["s1"]), (NOON + HOUR, ["s0", "s2", "nobody's"])):
        demands = {id_: a_demand(new, latest_end=NOON + 20 * HOUR) for id_ in ids}
        assert await store.sessions.renew(demands, at=at) == {}
    assert await store.sessions.renew({}, at=NOON) == {}
    assert await entries(store) == before


async def test_a_deadline_over_midnight_moves_in_both_days(store):
    new = await running(store, 1)
    await store.sessions.renew(
        {"s1": a_demand(new, latest_end=NOON + 12 * HOUR)}, at=NOON + HOUR
    )  # 23:00 UTC is midnight in Berlin
    assert await usage_of(
        store,
        cell(Span.DAY, "2026-11-24"),
        cell(Span.DAY, "2026-11-25"),
        cell(Span.MONTH, "2026-11"),
    ) == [(0, 25 * 11 * HOUR_MS), (0, 25 * HOUR_MS), (0, 25 * 12 * HOUR_MS)]
    await store.sessions.end("s1", reason="stopped", at=NOON + 2 * HOUR)
    assert await usage_of(store, cell(Span.MONTH, "2026-11")) == [(25 * 2 * HOUR_MS, 0)]


async def test_of_renewals_and_starts_at_once_none_overspends(store):
    """The last hours go to whoever's transaction is first; all that is reserved fits."""
    limit = a_limit(amount=25 * 20 * HOUR_MS)
    news = [await running(store, number, limits=(limit,)) for number in range(2)]
    demands = {new.id: a_demand(new, limits=(limit,), latest_end=NOON + 20 * HOUR) for new in news}
    await asyncio.gather(
        *(store.sessions.renew({key: demand}, at=NOON) for key, demand in demands.items()),
        *(
            begin(
                store,
                a_session(f"n{number}", workspace=f"n{number}", admitted_at=NOON),
                limits=(limit,),
            )
            for number in range(8)
        ),
    )
    ((settled, reserved),) = await usage_of(store, cell(Span.MONTH, "2026-11"))
    assert (settled, reserved) == (0, 25 * 20 * HOUR_MS)


async def test_a_session_ends_no_earlier_than_it_was_seen_to_run(store):
    """The quota service settles while somebody else, whose clock is behind, ends."""
    await begin(store, a_session(admitted_at=NOON))
    await store.sessions.bind("s1", granted_percent=25, at=NOON)
    await store.sessions.settle("s1", until=NOON + 2 * HOUR)
    assert await store.sessions.end("s1", reason="stopped", at=NOON + HOUR)
    ended = await store.sessions.get("s1")
    assert ended.ended_at == NOON + 2 * HOUR
    assert await usage_of(store, cell(Span.DAY, "2026-11-24")) == [(2 * 25 * HOUR_MS, 0)]


@pytest.mark.parametrize(
    ("bound", "ended", "used"),
    [(None, 3, 0), (1, 3, 2), (0, 0, 0), (0, 8, 8), (0, 99, 8), (2, 1, 0)],
    ids=["never bound", "bound", "at once", "at the deadline", "stopped late", "clock went back"],
)
async def test_the_end_charges_what_was_used_and_lets_go_the_rest(store, bound, ended, used):
    await begin(store, a_session(admitted_at=NOON))
    if bound is not None:
        await store.sessions.bind("s1", granted_percent=25, at=NOON + bound * HOUR)
    assert await store.sessions.end("s1", reason="stopped", at=NOON + ended * HOUR)
    assert not await store.sessions.end("s1", reason="again", at=NOON + 50 * HOUR)
    assert await usage_of(store, cell(Span.AT_ONCE, ""), cell(Span.DAY, "2026-11-24")) == [
        (0, 0),
        (used * 25 * HOUR_MS, 0),
    ]


async def test_nothing_is_opened_where_nothing_is_left(store):
    limit = a_limit()
    assert isinstance(await begin(store, a_session("s1", admitted_at=NOON), limits=(limit,)), Fits)
    refused = await begin(
        store, a_session("s2", workspace="second", admitted_at=NOON), limits=(limit,)
    )
    assert isinstance(refused, Exceeds)
    (exceeded,) = refused.limits
    assert (exceeded.limit, exceeded.used) == (limit, 100 * HOUR_MS)
    assert exceeded.resets_at == datetime(2026, 12, 1, tzinfo=BERLIN)
    assert await store.sessions.get("s2") is None


async def test_what_was_decided_by_older_settings_is_not_reserved(store):
    """Changed between decision and reservation, a quota holds from this very start on."""
    session = a_session("s1", admitted_at=NOON)
    change = {"actor": "admin", "reason": "", "at": NOON}
    newest = await store.changes.put("queues", "fast", {}, **change)

    async def opened(revision):
        return await store.sessions.open(session, a_demand(session), revision=revision)

    assert await opened(newest - 1) == Outdated()
    assert await store.sessions.get("s1") is None
    assert await usage_of(store, cell(Span.AT_ONCE, "")) == [(0, 0)]
    first = await opened(newest)
    assert isinstance(first, Fits)
    # A caller that got no answer asks again, and what was reserved stays so whatever came since.
    await store.changes.put("queues", "fast", None, **change)
    assert await opened(newest) == first


async def test_outdated_and_current_decisions_in_one_transaction_get_their_own_answers(store):
    sessions = [a_session(f"s{n}", workspace=f"w{n}", admitted_at=NOON) for n in range(4)]
    newest = await store.changes.put("queues", "fast", {}, actor="a", reason="", at=NOON)
    answers = await asyncio.gather(
        *(
            store.sessions.open(each, a_demand(each), revision=revision)
            for each, revision in zip(sessions, (newest, 0, None, newest + 1), strict=True)
        )
    )
    assert [type(answer) for answer in answers] == [Fits, Outdated, Fits, Outdated]
    assert await usage_of(store, cell(Span.AT_ONCE, "")) == [(0, 50)]


async def test_what_is_released_can_be_reserved_again(store):
    limit = a_limit(span=Span.AT_ONCE, amount=25)
    await begin(store, a_session("s1", admitted_at=NOON), limits=(limit,))
    second = a_session("s2", workspace="second", admitted_at=NOON)
    assert isinstance(await begin(store, second, limits=(limit,)), Exceeds)
    await store.sessions.end("s1", reason="stopped", at=NOON + HOUR)
    assert isinstance(await begin(store, second, limits=(limit,)), Fits)


async def test_a_restart_does_not_count_twice(store):
    """The session before was never seen to end; its reservation must not bar the next one."""
    limit = a_limit(span=Span.AT_ONCE, amount=25)
    await begin(store, a_session("s1", admitted_at=NOON), limits=(limit,))
    again = a_session("s2", admitted_at=NOON + HOUR)
    assert isinstance(await begin(store, again, limits=(limit,)), Fits)
    assert (await store.sessions.get("s1")).end_reason == "superseded"


async def test_opening_again_gives_the_same_answer_and_reserves_nothing(store):
    first = await begin(store, a_session(admitted_at=NOON))
    again = await begin(store, a_session(admitted_at=NOON), latest_end=NOON + HOUR)
    assert again == first
    assert await usage_of(store, cell(Span.AT_ONCE, "")) == [(0, 25)]


async def test_a_session_from_before_the_ledger_is_bound_and_ended_without_an_entry(store):
    await begin(store, a_session(admitted_at=NOON))
    await store.sessions.end("s1", reason="stopped", at=NOON)
    await execute(
        store,
        "INSERT INTO sessions (id, owner, workspace, actor, project, profile, flavor, kind, queue, "
        "image, gpu_model, gpu_count, sm_percent, requested_percent, cpu_millicores, "
        "memory_bytes, pod_name, admitted_at) SELECT 'old', owner, 'old', actor, project, profile, "
        "flavor, kind, queue, image, gpu_model, gpu_count, sm_percent, requested_percent, "
        "cpu_millicores, memory_bytes, pod_name, admitted_at FROM sessions",
    )
    assert await store.sessions.bind("old", granted_percent=25, at=NOON) is None
    assert not await store.sessions.settle("old", until=NOON + HOUR)
    assert await store.sessions.end("old", reason="stopped", at=NOON + HOUR)


async def execute(store, statement):
    return await store._database.transact(lambda connection: connection.execute(text(statement)))


@pytest.mark.parametrize("statement", ["UPDATE ledger SET day = 'x'", "DELETE FROM ledger"])
async def test_entries_are_never_changed(store, statement):
    await begin(store, a_session(admitted_at=NOON))
    with pytest.raises(Exception, match="append-only"):
        await execute(store, statement)


async def test_a_bound_session_that_nobody_knows_is_an_error(store):
    with pytest.raises(StoreError, match="no session"):
        await store.sessions.bind("s1", granted_percent=1, at=NOON)


@pytest.mark.parametrize("span", [Span.AT_ONCE, Span.MONTH])
async def test_of_256_at_once_exactly_one_gets_the_last_unit(store, span):
    limit = a_limit(span=span, amount=25 if span is Span.AT_ONCE else 25 * 8 * HOUR_MS)
    answers = await asyncio.gather(
        *(
            begin(
                store,
                a_session(f"s{n}", workspace=str(n), admitted_at=NOON),
                limits=(limit,),
            )
            for n in range(256)
        )
    )
    assert sum(isinstance(answer, Fits) for answer in answers) == 1
    assert len(await store.sessions.open_sessions()) == 1


@pytest.mark.parametrize(
    "changes",
    [{"subjects": (ALICE,)}, {"gpu_model": "L4"}, {"rates": Amounts(gpu=1)}],
    ids=["for fewer", "of another model", "of another rate"],
)
async def test_what_is_reserved_is_what_will_be_released(store, changes):
    with pytest.raises(StoreError, match="as admitted"):
        await begin(store, a_session(admitted_at=NOON), **changes)
    assert await store.sessions.get("s1") is None
