"""
SQLite, the default: one file that only its owner may read.

WAL mode, so that readers and the writer do not wait for each other, and ``synchronous=FULL``,
because a write must have reached the disk before its caller goes on. The WAL needs a local disk:
not NFS.

Python's own driver runs in threads, a whole transaction per hand-over. Drivers with an `async`
face hand over each call of it; a lone write then took 1.1 ms of CPU instead of 0.5 (measured).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import create_engine, event

from eugospawner.store.database import LOCK_SECONDS, Database, translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL, Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
    from sqlalchemy.pool import ConnectionPoolEntry

_Result = TypeVar("_Result")

#: Reads are short; more threads would only wait for Python's lock.
_READERS: Final = 4
_LOOK_SECONDS: Final = 0.01


class Sqlite(Database):
    """A SQLite file."""

    def __init__(self, url: URL) -> None:
        super().__init__(url)
        self._engine = create_engine(
            url, connect_args={"timeout": LOCK_SECONDS}, pool_size=_READERS + 1
        )
        event.listen(self._engine, "connect", _set_up)
        event.listen(self._engine, "begin", _stand_in_line)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")

    async def _read(self, look: Callable[[Connection], _Result]) -> _Result:
        def run() -> _Result:
            with self._reading.connect() as connection:
                return look(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    async def transact(self, work: Callable[[Connection], _Result]) -> _Result:
        """See `Database.transact`."""

        def run() -> _Result:
            with self._engine.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._writer, run)

    async def _dispose(self) -> None:
        def run() -> None:
            self._readers.shutdown()  # waits for what is running
            self._writer.shutdown()
            self._engine.dispose()

        await asyncio.to_thread(run)

    def exists(self) -> bool:
        """Whether the file is there; connecting would create an empty one."""
        return self._path.exists()

    def create(self) -> None:
        """
        Create the file, readable by its owner only.

        SQLite itself would make it readable by whom the umask lets; its `-wal` and `-shm` files
        take the mode of the first.
        """
        with translated(f"create the file {self._path}"):
            os.close(os.open(self._path, os.O_CREAT | os.O_CLOEXEC, 0o600))

    @property
    def _path(self) -> Path:
        return Path(self.url.database or "")


def _set_up(connection: DBAPIConnection, _entry: ConnectionPoolEntry | None) -> None:
    cursor = connection.cursor()
    _use_wal(cursor)
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _use_wal(cursor: DBAPICursor) -> None:
    """
    Have the file in WAL mode, which it keeps for ever.

    Changing a new file's mode takes a lock for which SQLite does not wait, whatever the timeout:
    of several first connections one changes it, and the others look again.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        cursor.execute("PRAGMA journal_mode")
        row = cursor.fetchone()
        if row is not None and row[0] == "wal":
            return
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return


def _stand_in_line(connection: Connection) -> None:
    """
    Begin a transaction as the only one that writes.

    Python's driver would begin before the first write only, and then with a lock that cannot wait
    for another writer's end.
    """
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
