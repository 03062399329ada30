"""
The store as one object: its domains, whether it answers, and its end.

A process opens one store on the event loop that uses it and closes it when that loop ends. A
schema that is older or newer than this release refuses to open, in words: running on would fail
later, in the middle of somebody's start.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from eugospawner.policy.errors import StoreError
from eugospawner.policy.quota import NOTHING_USED
from eugospawner.policy.volumes import holder_of
from eugospawner.store import schema
from eugospawner.store.audit import AuditLog
from eugospawner.store.book import ALL_SPANS, read_days, read_usage
from eugospawner.store.changes import Changes, read_changes
from eugospawner.store.connect import database_at
from eugospawner.store.consumption import Consumption
from eugospawner.store.database import is_outage
from eugospawner.store.exports import Exports
from eugospawner.store.identities import Identities
from eugospawner.store.invitations import Invitations
from eugospawner.store.measures import Measures
from eugospawner.store.refusals import Refusals
from eugospawner.store.resizes import Resizes
from eugospawner.store.sessions import Sessions
from eugospawner.store.shares import Shares
from eugospawner.store.volumes import Volumes, read_held, read_volumes
from eugospawner.store.workspaces import Workspaces, read_holders, read_workspaces
from eugospawner.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from eugospawner.policy.quota import Cell, Span, Subject, Usage, Used
    from eugospawner.policy.volumes import Volume
    from eugospawner.store.changes import Change
    from eugospawner.store.database import Database
    from eugospawner.store.workspaces import Workspace

#: Looks at a table, for SQLite answers ``SELECT 1`` without looking at its file.
_PING: Final = text("SELECT version_num FROM alembic_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """
    What a decision reads of the store, as of one moment.

    Attributes:
        audit: Who did what, when and why.
        changes: What was changed of the settings after the revision that was asked for.
        usage: Of the subjects that were asked for.
        holders: Who has the name that was asked for, or it with an ending: owner and server by
            project and key of the name.
        workspaces: The owner's; empty if they were not asked for.
        volumes: The owner's, by key; empty if they were not asked for.
        held: Bytes that the volumes of each subject have; likewise.
    """

    changes: tuple[Change, ...]
    usage: Usage
    volumes: Mapping[str, Volume]
    held: Mapping[Subject, int] = field(default_factory=dict)
    holders: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    workspaces: tuple[Workspace, ...] = ()


class Store:
    """
    What the product remembers; made by `open_store`.

    Attributes:
        audit: Who did what, when and why.
        changes: What was changed of the settings at run time.
        consumption: The ledger by session and day.
        exports: What somebody takes away of a workspace.
        identities: Whose account is whose.
        invitations: Who was asked into an organization.
        measures: What volumes hold.
        refusals: Requests that were refused.
        resizes: Volumes that are to be larger.
        sessions: Runs of workspaces.
        shares: Documents that others may read.
        volumes: Extra volumes of owners.
        workspaces: Servers of owners, with their names.
    """

    audit: AuditLog
    changes: Changes
    consumption: Consumption
    exports: Exports
    identities: Identities
    invitations: Invitations
    measures: Measures
    refusals: Refusals
    resizes: Resizes
    sessions: Sessions
    shares: Shares
    volumes: Volumes
    workspaces: Workspaces

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = Writer(database.transact, is_outage, database.require_open)
        self.audit = AuditLog(database, self._writer)
        self.changes = Changes(database, self._writer)
        self.consumption = Consumption(database, self._writer)
        self.exports = Exports(database, self._writer)
        self.identities = Identities(database, self._writer)
        self.invitations = Invitations(database, self._writer)
        self.measures = Measures(database, self._writer)
        self.refusals = Refusals(database, self._writer)
        self.resizes = Resizes(database, self._writer)
        self.sessions = Sessions(database, self._writer)
        self.shares = Shares(database, self._writer)
        self.volumes = Volumes(database, self._writer)
        self.workspaces = Workspaces(database, self._writer)

    async def brief(
        self,
        *,
        revision: int,
        subjects: Iterable[Subject] = (),
        since: datetime | None = None,
        spans: frozenset[Span] = ALL_SPANS,
        volumes_of: str | None = None,
        workspaces_of: str | None = None,
        name: str | None = None,
        projects: Collection[str] = (),
    ) -> Brief:
        """
        Return what a decision reads, at one go: going to the database costs more than reading.

        Args:
            revision: Changes after this one are wanted.
            subjects: Whose usage is wanted, and with *volumes_of* what their volumes have.
            since: Usage of periods that end after this; needed with *subjects*.
            spans: Usage of these alone, at least one.
            volumes_of: Owner whose volumes are wanted, with those of *projects*; `None`: nobody's.
            workspaces_of: Owner whose workspaces are wanted; `None`: nobody's.
            name: Of a workspace, whose holders in *projects* are wanted; `None`: of none.

        Raises:
            StoreError: The database does not answer.
        """
        whom = tuple(subjects)

        def look(connection: Connection) -> Brief:
            return Brief(
                changes=read_changes(connection, revision),
                usage=NOTHING_USED
                if since is None
                else read_usage(connection, whom, since=since, spans=spans),
                volumes={}
                if volumes_of is None
                else read_volumes(connection, (volumes_of, *map(holder_of, projects))),
                held={} if volumes_of is None else read_held(connection, whom),
                workspaces=()
                if workspaces_of is None
                else read_workspaces(connection, workspaces_of),
                holders={} if name is None else read_holders(connection, projects, name),
            )

        return await self._database.look("read what a decision needs", look)

    async def usage_of_days(
        self, subjects: Iterable[Subject], *, first_day: str, before: str
    ) -> Mapping[Cell, Used]:
        """Return what some days come to, as cells of their months; see `book.read_days`."""
        whom = tuple(subjects)
        return await self._database.look(
            "read the usage of some days",
            lambda connection: read_days(connection, whom, first_day=first_day, before=before),
        )

    async def ping(self) -> None:
        """
        Return if the database answers.

        Raises:
            StoreError: It does not.
        """
        await self._database.read("reach its database", _PING)

    async def close(self) -> None:
        """Write what is waiting, then close; later calls are refused or fail."""
        with contextlib.suppress(StoreError):  # it is closing whatever the database says
            await self.refusals.flush()
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
