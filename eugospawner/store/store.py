"""
The store as one object: its domains, whether it answers, and its end.

A process opens one store on the event loop that uses it and closes it when that loop ends. A
schema that is older or newer than this release refuses to open, in words: running on would fail
later, in the middle of somebody's start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from eugospawner.store import schema
from eugospawner.store.connect import database_at
from eugospawner.store.database import is_outage
from eugospawner.store.sessions import Sessions
from eugospawner.store.volumes import Volumes
from eugospawner.store.writer import Writer

if TYPE_CHECKING:
    from eugospawner.store.database import Database

#: Looks at a table, for SQLite answers ``SELECT 1`` without looking at its file.
_PING: Final = text("SELECT version_num FROM alembic_version")


class Store:
    """
    What the product remembers; made by `open_store`.

    Attributes:
        sessions: Runs of workspaces.
        volumes: Extra volumes of owners.
    """

    sessions: Sessions
    volumes: Volumes

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = Writer(database.transact, is_outage, database.require_open)
        self.sessions = Sessions(database, self._writer)
        self.volumes = Volumes(database, self._writer)

    async def ping(self) -> None:
        """
        Return if the database answers.

        Raises:
            StoreError: It does not.
        """
        await self._database.read("reach its database", _PING)

    async def close(self) -> None:
        """Write what is waiting, then close; later calls are refused or fail."""
        await self._writer.close()
        await self._database.close()


async def open_store(url: str) -> Store:
    """
    Return the store in the database at *url*, bound to the running event loop.

    Raises:
        StoreError: The URL is wrong, the database does not answer, or its schema is not this
            release's.
    """
    database = database_at(url)
    try:
        await schema.require_head(database)
    except BaseException:
        await database.close()
        raise
    return Store(database)
