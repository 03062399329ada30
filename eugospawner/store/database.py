"""
A database behind the store: what the two have in common, their URLs and their errors in words.

`sqlite` and `postgresql` give it shape. On both, writing transactions stand in line: SQLite has one
writer by nature, and on PostgreSQL an advisory lock makes it so, across processes. What is exact
on the one is then exact on the other, without deadlocks and without retries, and group commit
(`writer`) makes the line short. Reads are single statements outside any transaction and wait for
nobody. What runs in either is a plain function of a connection, so each statement exists once.
"""

from __future__ import annotations

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eugospawner.policy.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Executable, RowMapping

_Result = TypeVar("_Result")

#: Where the command line looks for the URL.
URL_VARIABLE: Final = "EUGO_DATABASE_URL"
#: Longer than any transaction of ours; a start that waits longer is better refused, while the hub
#: still waits for its answer (`slow_spawn_timeout`).
LOCK_SECONDS: Final = 5
#: The names that people write, and the driver that each means.
_DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "sqlite+aiosqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
_EXAMPLES: Final = "sqlite:////srv/eugo/store.sqlite or postgresql+asyncpg://USER@HOST/NAME"
#: PostgreSQL's classes of SQLSTATE that say something about the server, not about the statement.
_OUTAGES: Final = frozenset({"08", "25", "40", "53", "55", "57", "58", "XX"})

#: All that the layers below raise on their own account; `OverflowError` comes from drivers.
FOREIGN: Final = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    sqlite3.Error,
    OSError,
    TimeoutError,
    OverflowError,
)


class Database(ABC):
    """
    Connections to one database; nothing is opened before the first use.

    Belongs to the event loop that is running when it is made.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self._loop = asyncio.get_running_loop()
        self._closed = False

    @property
    def shown(self) -> str:
        """The URL as it may be shown to people: without its password."""
        return self.url.render_as_string(hide_password=True)

    async def read(
        self, what: str, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> Sequence[RowMapping]:
        """
        Return the rows of one *statement*, as of now.

        Args:
            what: Ends the sentence "The store could not …".
        """
        return await self.look(what, lambda it: it.execute(statement, values).mappings().all())

    async def look(self, what: str, at: Callable[[Connection], _Result]) -> _Result:
        """Return what *at* finds; it must not write."""
        self.require_open(what)
        with translated(what):
            return await self._read(at)

    def require_open(self, what: str) -> None:
        """Raise a `StoreError` if this is closed or belongs to another event loop."""
        problem = None
        if asyncio.get_running_loop() is not self._loop:
            problem = "it belongs to another event loop: open one on each"
        elif self._closed:
            problem = "it is closed"
        if problem is not None:
            message = f"The store could not {what}: {problem}"
            raise StoreError(message)

    @abstractmethod
    async def _read(self, look: Callable[[Connection], _Result]) -> _Result:
        """Run *look* outside any transaction."""

    @abstractmethod
    async def transact(self, work: Callable[[Connection], _Result]) -> _Result:
        """
        Run *work* in one transaction, as its only writer; it is durable when this returns.

        Raises what the layers below raise, as it comes: `is_outage` and `translated` know it.
        """

    async def close(self) -> None:
        """Close all connections; closing twice is closing once."""
        if not self._closed:
            self._closed = True
            with translated("close its connections"):
                await self._dispose()

    @abstractmethod
    async def _dispose(self) -> None:
        """Close all connections, once."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is anything to connect to, as far as can be said without connecting."""

    @abstractmethod
    def create(self) -> None:
        """Create what can be created without connecting, unless it exists."""


def parse_url(text: str) -> URL:
    """
    Return the URL of a database that the store can live in, with its driver.

    Raises:
        StoreError: It is none; the message shows no password.
    """
    try:
        url = make_url(text)
    except (SQLAlchemyError, ValueError) as error:
        message = f"The database URL cannot be read: write for example {_EXAMPLES}"
        raise StoreError(message) from error
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        message = f"The database URL names {url.drivername!r}: write for example {_EXAMPLES}"
        raise StoreError(message)
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        message = (
            f"The database URL names no file, and memory forgets: write for example {_EXAMPLES}"
        )
        raise StoreError(message)
    return url.set(drivername=driver)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """
    Turn what the layers below raise into a `StoreError` that says *what* could not be done.

    Args:
        what: Ends the sentence "The store could not …".
    """
    try:
        yield
    except FOREIGN as error:
        message = f"The store could not {what}: {problem_of(error)}"
        raise StoreError(message) from error


def problem_of(error: BaseException) -> str:
    """Return in one line what the driver said; SQLAlchemy adds statement and values to it."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0]


def is_outage(error: Exception) -> bool:
    """Whether the database is at fault, so that writing less at a time cannot help."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        if isinstance(state, str):
            return state[:2] in _OUTAGES
        if isinstance(error, IntegrityError | DataError):
            return False
        return error.connection_invalidated or isinstance(error, OperationalError)
    return isinstance(
        error, PoolTimeout | OSError | TimeoutError | asyncpg.PostgresError | asyncpg.InterfaceError
    )
