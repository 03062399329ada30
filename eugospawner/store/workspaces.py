"""
Workspaces: what each server of an owner is called, and what it was last started with.

A record is written by the transaction that admits a start, so that a name is taken by whoever was
admitted first (F36), and goes when the server is removed; sessions stay. Names that nobody asked
for make way: a workspace without one gets the next that is free. Source: design §4; F3, F36.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, delete, or_, select, tuple_

from eugospawner.policy import names
from eugospawner.store.statements import Put
from eugospawner.store.tables import WorkspaceRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """
    A workspace as it was last admitted.

    Attributes:
        server: Server name; empty for the default server.
        name: As people read it; unique in the project.
        options: Words of the request, without the name.
    """

    owner: str
    server: str
    project: str
    name: str
    options: Mapping[str, Any]
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a start would have recorded of its workspace; *name* `None`: any that is free."""

    name: str | None
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTaken:
    """Another workspace of the project has the name; *free* is one that nobody has."""

    free: str


class Workspaces:
    """The workspaces in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def of_owner(self, owner: str) -> tuple[Workspace, ...]:
        """Return the workspaces of *owner*, in the order of their names."""
        return await self._database.look(
            "read the workspaces of an owner", lambda connection: read_workspaces(connection, owner)
        )

    async def owner_in(self, project: str) -> str | None:
        """Return the owner of some workspace in *project*; `None`: there is none."""
        values = storable({"project": project})
        rows = await self._database.read("read who is in a project", _SOMEBODY, values)
        return str(rows[0]["owner"]) if rows else None

    async def remove(self, owner: str, server: str) -> bool:
        """
        Forget a workspace; its sessions stay.

        Returns:
            Whether there was one.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"b_owner": owner, "b_server": server})
        return await self._writer.write(_REMOVE, row)


def read_workspaces(connection: Connection, owner: str) -> tuple[Workspace, ...]:
    """Return the workspaces of *owner*, in the order of their names."""
    rows = connection.execute(_OF_OWNER, storable({"owner": owner})).mappings()
    return tuple(
        Workspace(
            **{name: row[name] for name in _SHOWN},
            options=json.loads(row["options"]),
        )
        for row in rows
    )


def read_holders(
    connection: Connection, projects: Iterable[str], name: str
) -> Mapping[tuple[str, str], tuple[str, str]]:
    """
    Return who has *name*, or it with an ending, in *projects*.

    Returns:
        Owner and server by project and key of the name.
    """
    start = names.key_of(name)[:_PREFIX]
    for special in "\\%_":
        start = start.replace(special, f"\\{special}")
    values = {"projects": list(projects), "pattern": f"{start}%"}
    return {
        (row.project, row.name_key): (row.owner, row.server)
        for row in connection.execute(_LIKE, values)
    }


class Register:
    """
    The names of one transaction: who has which, and who takes which.

    Args:
        asked: Owner, server, project and wish of each start of the transaction.
    """

    def __init__(self, connection: Connection, asked: Sequence[tuple[str, str, str, Wish]]) -> None:
        self._connection = connection
        self._own: dict[tuple[str, str], dict[str, Any]] = {}
        self._holders: dict[tuple[str, str], tuple[str, str]] = {}
        self._changed: dict[tuple[str, str], dict[str, Any]] = {}
        if not asked:
            return
        wanted = [
            (project, names.key_of(wish.name or names.default_of(owner, server)))
            for owner, server, project, wish in asked
        ]
        values = {"places": [each[:2] for each in asked], "wanted": wanted}
        for row in connection.execute(_AT_STAKE, values).mappings():
            place = (row["owner"], row["server"])
            self._holders[row["project"], row["name_key"]] = place
            self._own[place] = dict(row)

    def name(self, owner: str, server: str, project: str, wish: Wish) -> str | NameTaken:
        """Return the name that the workspace gets."""
        place, own = (owner, server), self._own.get((owner, server))
        moves = own is not None and own["project"] != project
        if wish.name is None and own is not None and not moves:
            return str(own["name"])
        wanted = wish.name or (own["name"] if own else names.default_of(owner, server))
        key = (project, names.key_of(wanted))
        # A name that is taken along was not asked for, so it was not looked for either.
        known = self._like(project, wanted) if moves and wish.name is None else self._holders
        if known.get(key, place) == place:
            return str(wanted)
        taken = {held for of, held in self._like(project, wanted) if of == project}
        free = names.free(wanted, taken)
        return free if wish.name is None else NameTaken(free=free)

    def _like(self, project: str, name: str) -> dict[tuple[str, str], tuple[str, str]]:
        return {**read_holders(self._connection, [project], name), **self._holders}

    def take(
        self, owner: str, server: str, project: str, name: str, options: Mapping[str, Any],
        at: datetime,
    ) -> None:  # fmt: skip
        """Give the workspace its name, and let its former one go."""
        place = (owner, server)
        own = self._own.get(place)
        if own is not None:
            self._holders.pop((own["project"], own["name_key"]), None)
        key = names.key_of(name)
        row = {
            "owner": owner,
            "server": server,
            "project": project,
            "name": name,
            "name_key": key,
            "options": json.dumps(options, sort_keys=True),
            "created_at": at if own is None else own["created_at"],
            "changed_at": at,
        }
        self._holders[project, key] = place
        self._own[place] = self._changed[place] = row

    def write(self) -> None:
        """Write what was taken."""
        if self._changed:
            _PUT.execute(self._connection, list(self._changed.values()))


def _remove(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[bool]:
    return [connection.execute(_DELETE, row).rowcount > 0 for row in rows]


_TABLE: Final = table_of(WorkspaceRow)
_COLUMN: Final = _TABLE.c
#: A name that has no room for an ending loses its last characters to it.
_PREFIX: Final = names.LONGEST - 16
_SHOWN: Final = ("owner", "server", "project", "name", "created_at", "changed_at")
_PUT: Final = Put(_TABLE)
_OF_OWNER: Final = (
    select(_TABLE).where(_COLUMN.owner == bindparam("owner")).order_by(_COLUMN.name, _COLUMN.server)
)
_SOMEBODY: Final = select(_COLUMN.owner).where(_COLUMN.project == bindparam("project")).limit(1)
_AT_STAKE: Final = select(_TABLE).where(
    or_(
        tuple_(_COLUMN.owner, _COLUMN.server).in_(bindparam("places", expanding=True)),
        tuple_(_COLUMN.project, _COLUMN.name_key).in_(bindparam("wanted", expanding=True)),
    )
)
_LIKE: Final = select(_COLUMN.project, _COLUMN.name_key, _COLUMN.owner, _COLUMN.server).where(
    _COLUMN.project.in_(bindparam("projects", expanding=True)),
    _COLUMN.name_key.like(bindparam("pattern"), escape="\\"),
)
_DELETE: Final = delete(_TABLE).where(
    _COLUMN.owner == bindparam("b_owner"), _COLUMN.server == bindparam("b_server")
)
_REMOVE: Final[Write[dict[str, Any], bool]] = Write(
    apply=_remove, key=lambda row: (row["b_owner"], row["b_server"]), what="forget a workspace"
)
