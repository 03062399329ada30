"""The ledger by session and day: exact at any moment, whether the roll-up runs or not (F102)."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from eugospawner.policy.errors import StoreError
from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.store import open_store
from eugospawner.store.consumption import Workspace
from tests.contract.store.consistency import check_ledger_consistency
from tests.contract.store.values import a_session
from tests.factories.sessions import begin

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOUR_MS = 3_600_000
ALICE = Subject(SubjectKind.USER, "alice")
WEEK = {"first_day": "2026-11-20", "last_day": "2026-11-30"}


async def all_of(store, subject=ALICE, **days):
    return await store.consumption.of(subject, **(WEEK | days))


async def test_what_is_not_rolled_up_yet_counts_from_the_first_moment(store):
    await begin(store, a_session(admitted_at=NOON))
    (one,) = await all_of(store)
    assert one.workspace == Workspace("alice", "", "alice")
    assert (one.gpu_model, one.used.reserved.gpu) == ("H100", 25 * 8 * HOUR_MS)
    assert await store.consumption.roll_up() == 1
    assert await all_of(store) == (one,)
    assert await store.consumption.roll_up() == 0
    assert await all_of(store) == (one,)


async def test_settled_and_reserved_are_told_apart_by_model_and_workspace(store):
    await begin(store, a_session("s1", admitted_at=NOON))
    await begin(store, a_session("s2", admitted_at=NOON, workspace="b", gpu_model="L4"))
    await store.sessions.bind("s1", granted_percent=50, at=NOON)
    await store.consumption.roll_up()
    await store.sessions.settle("s1", until=NOON + HOUR)
    await store.sessions.end("s2", reason="stopped", at=NOON)
    (one,) = await all_of(store)  # what was let go whole is no consumption
    assert one.used.settled.gpu == 50 * HOUR_MS
    assert one.used.reserved.gpu == 50 * 7 * HOUR_MS


async def test_days_outside_are_left_out_and_the_largest_come_first(store):
    for number, percent in enumerate([10, 40, 20]):
        await begin(
            store,
            a_session(
                f"s{number}", workspace=f"w{number}", requested_percent=percent, admitted_at=NOON
            ),
            latest_end=NOON + 20 * HOUR,
        )
    await store.consumption.roll_up(most=2)
    names = [each.workspace.server for each in await all_of(store)]
    assert names == ["w1", "w2", "w0"]
    today = await all_of(store, first_day="2026-11-24", last_day="2026-11-24")
    assert [each.used.reserved.gpu for each in today] == [
        percent * 11 * HOUR_MS for percent in (40, 20, 10)
    ]
    assert await all_of(store, first_day="2026-11-26") == ()
    assert len(await all_of(store, limit=2)) == 2


@pytest.mark.parametrize("kind", ["user", "project", "group", "organization"])
async def test_each_sees_its_own(store, kind):
    await begin(
        store,
        a_session("s1", admitted_at=NOON, project="vision", group_key="lab", organization="acme"),
    )
    await begin(
        store,
        a_session(
            "s2", owner="bob", admitted_at=NOON, project="p", group_key="g", organization="o"
        ),
    )
    own = {"user": "alice", "project": "vision", "group": "lab", "organization": "acme"}[kind]
    for _ in range(2):
        found = await all_of(store, Subject(SubjectKind(kind), own))
        assert [each.workspace.owner for each in found] == ["alice"]
        assert await all_of(store, Subject(SubjectKind(kind), "nobody")) == ()
        await store.consumption.roll_up()


async def test_a_long_history_in_any_pieces_is_the_sum_of_the_ledger(store):
    chance = random.Random(7)  # noqa: S311 - a test
    at = NOON
    for number in range(60):
        at += timedelta(minutes=chance.randrange(1, 300))
        session = f"s{number}"
        owner = chance.choice(["alice", "bob"])
        await begin(
            store,
            a_session(
                session,
                owner=owner,
                workspace=chance.choice(["", "b"]),
                gpu_model=chance.choice(["H100", "L4"]),
                organization=chance.choice(["acme", None]),
                admitted_at=at,
            ),
        )
        if chance.random() < 0.8:
            await store.sessions.bind(session, granted_percent=50, at=at)
            await store.sessions.settle(session, until=at + HOUR * chance.random() * 9)
        if chance.random() < 0.5:
            await store.sessions.end(session, reason="stopped", at=at + HOUR * chance.random() * 9)
        if chance.random() < 0.4:
            await store.consumption.roll_up(most=chance.randrange(1, 9))
        await agree(store)
    while await store.consumption.roll_up(most=7):
        await agree(store)
    await check_ledger_consistency(store)


async def agree(store):
    """Compare with sums made of the ledger here."""

    def look(connection):
        return connection.execute(
            text(
                "SELECT s.owner, s.workspace, s.gpu_model, l.settled_gpu, l.reserved_gpu "
                "FROM ledger l JOIN sessions s ON s.id = l.session_id"
            )
        ).all()

    expected = Counter()
    for owner, workspace, model, settled, reserved in await store._database.look("look", look):
        expected[owner, workspace, model, "settled"] += settled
        expected[owner, workspace, model, "reserved"] += reserved
    found = Counter()
    for owner in ("alice", "bob"):
        days = {"first_day": "2000-01-01", "last_day": "2999-12-31"}
        for each in await store.consumption.of(Subject(SubjectKind.USER, owner), **days):
            where = (owner, each.workspace.server, each.gpu_model)
            found[*where, "settled"] = each.used.settled.gpu
            found[*where, "reserved"] = each.used.reserved.gpu
    assert +found == +expected


async def test_two_that_roll_up_at_once_take_each_entry_once(store, url):
    other = await open_store(url)
    try:
        for number in range(30):
            await begin(store, a_session(f"s{number}", workspace=f"w{number}", admitted_at=NOON))
        taken = await asyncio.gather(
            *(each.consumption.roll_up(most=4) for _ in range(5) for each in (store, other))
        )
        assert sum(taken) == 30
        assert sum(each.used.reserved.gpu for each in await all_of(store)) == 30 * 25 * 8 * HOUR_MS
    finally:
        await other.close()


async def test_a_hostile_key_is_nobody(store):
    with pytest.raises(StoreError):
        await all_of(store, Subject(SubjectKind.USER, "a\0b"))
    assert await all_of(store, Subject(SubjectKind.USER, "' OR 1=1 --")) == ()
