"""How SQLite finds rows: no start and no stop reads a whole table, however many workspaces there are."""

import asyncio
import sqlite3
from collections.abc import Iterator

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from eugospawner.store import Wish
from tests.contract.store.values import NOON, a_session
from tests.factories.sessions import a_demand

#: Tables with a row for each workspace or run, of which there are many.
LARGE = ("sessions", "workspaces", "ledger", "audit", "usage", "volumes")


@pytest.fixture
def said(url) -> Iterator[list[str]]:
    """
    What was asked of this database; others are asked in the same process, too.

    To be there before the store is: connections that are open already tell nothing.
    """
    statements: list[str] = []
    path = url.partition(":///")[2]

    def note(connection, _cursor, statement, *_rest):
        if connection.engine.url.database == path:
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield statements
    event.remove(Engine, "before_cursor_execute", note)


async def test_a_start_and_a_stop_read_no_table_from_end_to_end(said, store, url, dialect):
    if dialect != "sqlite":
        pytest.skip(
            "PostgreSQL's plan depends on how much there is; it has an index for each of these"
        )
    several = [
        a_session(f"s{number}", owner=f"owner{number}", admitted_at=NOON) for number in range(5)
    ]

    async def of_all(act):
        await asyncio.gather(*map(act, several))  # so that some are written together

    await of_all(
        lambda new: store.sessions.open(
            new, a_demand(new), wish=Wish(name=f"Training {new.id}", options={})
        )
    )
    await of_all(
        lambda new: store.sessions.bind(new.id, granted_percent=0, at=NOON, demand=a_demand(new))
    )
    await of_all(lambda new: store.sessions.keep(new.id, actor="alice", at=NOON))
    await of_all(
        lambda new: store.sessions.ask_to_stop(new.id, reason="idle", actor="culler", at=NOON)
    )
    await of_all(lambda new: store.sessions.end(new.id, reason="stopped", at=NOON))
    with sqlite3.connect(url.partition(":///")[2]) as connection:
        plans = {
            (statement, step)
            for statement in said
            if statement.startswith(("SELECT", "UPDATE", "INSERT", "DELETE"))
            for *_, step in connection.execute(
                f"EXPLAIN QUERY PLAN {statement}", ("",) * statement.count("?")
            )
        }
    assert len(plans) > 5
    assert [
        (statement, step)
        for statement, step in plans
        if step.removeprefix("SCAN ") in LARGE and "LIMIT" not in statement
    ] == []
