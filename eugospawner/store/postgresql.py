"""
PostgreSQL, by URL: for hubs whose disk is not local, or that have a database already.

Transactions begin with an advisory lock, so that they follow one another as they do on SQLite,
whichever process they come from; see `database` for why. Every wait has an end: connecting, locks
and statements give up after some seconds, and a start is then refused in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from eugospawner.store.database import LOCK_SECONDS, Database

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL, Connection

_Result = TypeVar("_Result")

_CONNECT_SECONDS: Final = 10
_STATEMENT_SECONDS: Final = 30
#: "eugo" in ASCII: the lock that writing transactions stand in line for.
_WRITERS_LOCK: Final = int.from_bytes(b"eugo", "big")


class Postgresql(Database):
    """A database on a PostgreSQL server."""

    def __init__(self, url: URL) -> None:
        super().__init__(url)
        self._engine = create_async_engine(
            url,
            pool_pre_ping=True,  # the server may have been restarted since
            connect_args={
                "timeout": _CONNECT_SECONDS,
                "command_timeout": _STATEMENT_SECONDS,
                "server_settings": {
                    "application_name": "eugo",
                    "lock_timeout": f"{LOCK_SECONDS}s",
                    "statement_timeout": f"{_STATEMENT_SECONDS}s",
                },
            },
        )
        event.listen(self._engine.sync_engine, "begin", _stand_in_line)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def _read(self, look: Callable[[Connection], _Result]) -> _Result:
        async with self._reading.connect() as connection:
            return await connection.run_sync(look)

    async def transact(self, work: Callable[[Connection], _Result]) -> _Result:
        """See `Database.transact`."""
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def _dispose(self) -> None:
        await self._engine.dispose()

    def exists(self) -> bool:
        """Whether there may be a database: the server knows."""
        return True

    def create(self) -> None:
        """Do nothing: whoever runs the server makes the database, and says who may use it."""


def _stand_in_line(connection: Connection) -> None:
    """Begin a transaction as the only one of ours that writes."""
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")
