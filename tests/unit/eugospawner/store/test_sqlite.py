"""The first connections to a new file, and what each finds."""

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.dialects import sqlite as dialects

from eugospawner.store import sqlite, upgrade
from eugospawner.store.book import ALL_SPANS, _read
from eugospawner.store.connect import database_at

TOGETHER = 8


def test_the_first_connections_to_a_new_file_wait_for_each_other(tmp_path):
    """Changing to WAL takes a lock for which SQLite does not wait; seen when two upgrade at once."""
    modes = []
    for number in range(60):
        path = tmp_path / f"{number}.sqlite"
        path.touch()
        gate = threading.Barrier(TOGETHER)

        def connect(_, path=path, gate=gate):
            connection = sqlite3.connect(path, timeout=5)
            try:
                gate.wait()
                sqlite._set_up(connection, None)
                return connection.execute("PRAGMA journal_mode").fetchone()[0]
            finally:
                connection.close()

        with ThreadPoolExecutor(TOGETHER) as pool:
            modes += pool.map(connect, range(TOGETHER))
    assert set(modes) == {"wal"}


async def test_usage_is_sought_by_span_and_start_and_not_among_all_that_ever_was(tmp_path):
    """With one condition for all spans it took five times as long after three years (B4)."""
    compiled = _read(ALL_SPANS)._for(dialects.dialect())
    url = f"sqlite:///{tmp_path}/store.sqlite"
    await asyncio.to_thread(upgrade, url)

    def plan(connection):
        values = ("[]",) * len(compiled.parameters)
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled.text}", values)
        return [row[-1] for row in rows if " usage " in row[-1]]

    database = database_at(url)
    try:
        sought = await database.look("explain", plan)
    finally:
        await database.close()
    at_once, *periods = [each.partition("(")[2] for each in sought]
    assert at_once == "subject=? AND span=?)"
    assert periods == ["subject=? AND span=? AND start>?)"] * 2
