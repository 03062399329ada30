"""No line of the audit is altered, removed or put in unseen, and a tail that was cut off is missed. L12."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from eugospawner.store.audit import Anchor

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
COLUMNS = "at, actor, action, object, reason, detail"


async def write(store, count, *, first=0):
    for number in range(first, first + count):
        await store.audit.record(
            "look", f"workspace.alice/{number}", actor="ada", at=NOON + number * MINUTE,
            reason="weil “so”", detail={"number": number},
        )  # fmt: skip


async def tamper(store, *statements):
    """Do what somebody does who may do everything in the database: away with the triggers first."""

    def work(connection):
        if connection.dialect.name == "sqlite":
            for action in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS tr_audit_{action}"))
        else:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        for statement in statements:
            connection.execute(text(statement))

    await store._database.transact(work)


async def test_what_was_only_added_to_verifies(store):
    assert await store.audit.head() is None
    nothing = await store.audit.verify()
    assert (nothing.lines, nothing.last, nothing.problems) == (0, None, ())
    await write(store, 5)
    verified = await store.audit.verify()
    assert (verified.lines, verified.problems) == (5, ())
    assert verified.last == await store.audit.head()
    await write(store, 3, first=5)
    assert (await store.audit.verify([verified.last])).problems == ()


async def test_lines_that_are_written_at_once_are_one_chain(store):
    await asyncio.gather(*(write(store, 5, first=10 * number) for number in range(20)))
    verified = await store.audit.verify()
    assert (verified.lines, verified.problems) == (100, ())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'bob' WHERE id = 3",
        "UPDATE audit SET action = 'Look' WHERE id = 3",
        "UPDATE audit SET object = 'workspace.alice/9' WHERE id = 3",
        "UPDATE audit SET reason = '' WHERE id = 3",
        "UPDATE audit SET detail = '{}' WHERE id = 3",
        "UPDATE audit SET seal = NULL, actor = 'bob' WHERE id = 3",
        "UPDATE audit SET at = (SELECT at FROM audit WHERE id = 1) WHERE id = 3",
        "DELETE FROM audit WHERE id = 3",
        "DELETE FROM audit WHERE id = 1",
        f"INSERT INTO audit (id, {COLUMNS}, seal) SELECT 99, {COLUMNS}, seal FROM audit WHERE id = 3",  # noqa: S608
        f"INSERT INTO audit (id, {COLUMNS}) SELECT 0, {COLUMNS} FROM audit WHERE id = 3",  # noqa: S608
    ],
)
async def test_whatever_is_altered_removed_or_put_in_is_found(store, statement):
    await write(store, 6)
    await tamper(store, statement)
    problems = (await store.audit.verify()).problems
    assert problems
    assert "does not follow" in problems[0]


async def test_two_lines_that_changed_places_are_found(store):
    await write(store, 4)
    await tamper(
        store,
        "UPDATE audit SET id = 99 WHERE id = 2",
        "UPDATE audit SET id = 2 WHERE id = 3",
        "UPDATE audit SET id = 3 WHERE id = 99",
    )
    assert (await store.audit.verify()).problems


async def test_a_tail_that_was_cut_off_is_missed_by_the_anchor_alone(store):
    await write(store, 6)
    anchor = await store.audit.head()
    await tamper(store, "DELETE FROM audit WHERE id > 4")
    assert (await store.audit.verify()).problems == ()
    (problem,) = (await store.audit.verify([anchor])).problems
    assert "The line 6 is gone" in problem


async def test_a_tail_that_was_written_anew_is_not_the_one_of_the_anchor(store):
    await write(store, 4)
    anchor = await store.audit.head()
    await tamper(store, "DELETE FROM audit WHERE id > 2")
    await write(store, 4, first=50)
    found = (await store.audit.verify([anchor])).problems
    assert found
    assert "anchor" in found[0]


async def test_a_chain_that_was_made_anew_from_the_start_is_not_the_one_of_the_anchor(store):
    await write(store, 3)
    anchor = await store.audit.head()
    await tamper(store, "DELETE FROM audit")
    await write(store, 3, first=9)
    assert (await store.audit.verify()).problems == ()
    assert (await store.audit.verify([Anchor(id=anchor.id, seal=anchor.seal)])).problems


async def test_lines_of_a_release_without_seals_are_sealed_by_the_next(store):
    plain = (
        "INSERT INTO audit (id, at, actor, action, object, reason, detail) SELECT "
        "{}, at, 'old', action, object, reason, detail FROM audit WHERE id = 1"
    )
    await write(store, 1)
    await tamper(store, plain.format(2), plain.format(3))
    assert "The last 2 lines have no seal" in (await store.audit.verify()).problems[0]
    dialect = await store._database.look("look", lambda connection: connection.dialect.name)
    if dialect == "postgresql":
        await tamper(store, "SELECT setval('audit_id_seq', 3)")
    await write(store, 1, first=7)
    assert (await store.audit.verify()).problems == ()
    await tamper(store, "UPDATE audit SET actor = 'bob' WHERE id = 2")
    assert (await store.audit.verify()).problems


async def test_lines_are_found_by_whom_what_and_when(store):
    await write(store, 4)
    await store.audit.record("start", "workspace.bob/x", actor="bob", at=NOON + 9 * MINUTE)

    async def found(**wanted):
        return [line.id for line in await store.audit.lines(**wanted)]

    assert await found() == [5, 4, 3, 2, 1]
    assert await found(actor="bob") == [5]
    assert await found(action="look", limit=2) == [4, 3]
    assert await found(prefix="workspace.alice/") == [4, 3, 2, 1]
    assert await found(about="workspace.alice/2") == [3]
    assert await found(since=NOON + MINUTE, until=NOON + 3 * MINUTE) == [3, 2]
    assert await found(before=3) == [2, 1]
    assert [line.id for line in await store.audit.after(3)] == [4, 5]
