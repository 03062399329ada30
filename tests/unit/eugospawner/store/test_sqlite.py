"""The first connections to a new file, and what each finds."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

from eugospawner.store import sqlite

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
