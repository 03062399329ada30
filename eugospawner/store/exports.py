"""
Exports: what somebody takes away of a workspace, from the wish to the last download.

An export is prepared, then ready until its link ends, or failed; whoever prepares it may die at any moment, and
the next goes on from what stands here. It is revoked at any time, and counts no more from then on. Each step that
somebody takes is written with its audit line. Source: F85; L8; facts on security, §4.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, func, insert, select, update

from eugospawner.store import audit
from eugospawner.store.tables import ExportRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.workspaces import object_of
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer

#: More than any list shows.
MOST: Final = 100


#: What is longer is cut: Kubernetes may have much to say.
LONGEST_PROBLEM: Final = 500


class Standing(StrEnum):
    """How an export stands."""

    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """
    An export as it stands.

    Attributes:
        id: Random.
        owner: Whose workspace; *server* is empty for the default one.
        creator: Who takes it, and nobody else.
        choice: By volume, which folder of it, and whether notebooks alone.
        name: Of the file that is downloaded.
        secret: Key of the link's signature, hexadecimal.
        state: `PREPARING`, `READY` or `FAILED`; see `standing`.
        expires_at: The link's end; `None`: there is no link.
        size_bytes: Before packing.
        summary: What was left out, and the first files.
        problem: Why it failed; empty: it did not.
        downloads: How often it was fetched to its end.
    """

    id: str
    owner: str
    server: str
    creator: str
    choice: Mapping[str, Any]
    name: str
    secret: str = field(repr=False)
    created_at: datetime
    state: Standing = Standing.PREPARING
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str = ""
    files: int = 0
    size_bytes: int = 0
    summary: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    downloads: int = 0
    downloaded_at: datetime | None = None

    def standing(self, now: datetime) -> Standing:
        """Return how it stands at *now*: what it was revoked or has expired as, else its state."""
        if self.revoked_at is not None:
            return Standing.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return Standing.EXPIRED
        return self.state


class Exports:
    """The exports in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def add(self, export: Export, *, most: int = MOST) -> bool:
        """
        Record a new export, which is to be prepared.

        Args:
            most: So many of its creator's can be fetched, or will be, at a time.

        Returns:
            Whether it is there; else they have as many as they may.

        Raises:
            StoreError: It was not recorded.
        """
        texts = {"choice": json.dumps(export.choice), "summary": json.dumps(export.summary)}
        row = {name: getattr(export, name) for name in _COLUMNS if name not in texts}
        return await self._writer.write(_ADD, _Adding({**storable(row), **texts}, most))

    async def get(self, identifier: str) -> Export | None:
        """Return the export *identifier*; `None`: there is none."""
        rows = await self._database.read("read an export", _BY_ID, storable({"id": identifier}))
        return _export(rows[0]) if rows else None

    async def of_creator(self, creator: str) -> tuple[Export, ...]:
        """Return what *creator* took, newest first, at most `MOST`."""
        values = storable({"creator": creator})
        rows = await self._database.read("read exports", _OF_CREATOR, values)
        return tuple(_export(row) for row in rows)

    async def alive_of(self, owner: str, server: str, now: datetime) -> tuple[Export, ...]:
        """Return those of one workspace that can still be fetched, or will be, oldest first."""
        values = storable({"owner": owner, "server": server, "now": now})
        rows = await self._database.read("read exports", _ALIVE_OF, values)
        return tuple(_export(row) for row in rows)

    async def alive(self, now: datetime) -> tuple[Export, ...]:
        """Return those that are being prepared, and those whose link is good, oldest first."""
        rows = await self._database.read("read exports", _ALIVE, storable({"now": now}))
        return tuple(_export(row) for row in rows)

    async def ready(
        self,
        identifier: str,
        *,
        files: int,
        size_bytes: int,
        summary: Mapping[str, Any],
        expires_at: datetime,
    ) -> bool:
        """
        Record that an export can be fetched; return whether it was still wanted.

        Raises:
            StoreError: It was not recorded.
        """
        row = {
            "b_id": identifier, "files": files, "size_bytes": size_bytes, "expires_at": expires_at,
        }  # fmt: skip
        # ASCII: no name of a file, whatever its bytes, is a character that a database refuses.
        return await self._writer.write(_READY, {**storable(row), "summary": json.dumps(summary)})

    async def failed(self, identifier: str, problem: str) -> bool:
        """
        Record that an export could not be prepared; return whether it was still wanted.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"b_id": identifier, "problem": problem[:LONGEST_PROBLEM]})
        return await self._writer.write(_FAILED, row)

    async def downloaded(self, identifier: str, *, at: datetime) -> None:
        """
        Record that an export was fetched to its end.

        Raises:
            StoreError: It was not recorded.
        """
        await self._writer.write(_DOWNLOADED, storable({"b_id": identifier, "at": at}))

    async def revoke(self, identifier: str, *, actor: str, at: datetime) -> Export | None:
        """
        Revoke an export; `None`: there is none, or it was revoked before.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"b_id": identifier, "actor": actor, "at": at})
        return await self._writer.write(_REVOKE, row)


def _export(row: Any) -> Export:
    values = {name: row[name] for name in _COLUMNS}
    values |= {
        "choice": json.loads(row["choice"]),
        "summary": json.loads(row["summary"]),
        "state": Standing(row["state"]),
    }
    return Export(**values)


@dataclass(frozen=True, slots=True)
class _Adding:
    row: dict[str, Any]
    most: int


def _add(connection: Connection, addings: Sequence[_Adding]) -> Sequence[bool]:
    return [_add_one(connection, each.row, each.most) for each in addings]


def _add_one(connection: Connection, row: dict[str, Any], most: int) -> bool:
    values = {"creator": row["creator"], "now": row["created_at"]}
    if connection.execute(_NUMBER, values).scalar_one() >= most:
        return False
    connection.execute(_INSERT, row)
    line = audit.line_of(
        "export",
        object_of(row["owner"], row["server"]),
        actor=row["creator"],
        at=row["created_at"],
        detail={"export": row["id"], "choice": json.loads(row["choice"])},
    )
    audit.append(connection, [line])
    return True


def _ready(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[bool]:
    return [connection.execute(_SET_READY, row).rowcount > 0 for row in rows]


def _failed(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[bool]:
    return [connection.execute(_SET_FAILED, row).rowcount > 0 for row in rows]


def _downloaded(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    for row in rows:
        connection.execute(_SET_DOWNLOADED, row)
    return [None] * len(rows)


def _revoke(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[Export | None]:
    return [_revoke_one(connection, row) for row in rows]


def _revoke_one(connection: Connection, row: dict[str, Any]) -> Export | None:
    values = {"b_id": row["b_id"], "at": row["at"], "revoker": row["actor"]}
    if not connection.execute(_SET_REVOKED, values).rowcount:
        return None
    found = _export(connection.execute(_BY_ID, {"id": row["b_id"]}).mappings().one())
    line = audit.line_of(
        "revoke-export",
        object_of(found.owner, found.server),
        actor=row["actor"],
        at=row["at"],
        detail={"export": found.id},
    )
    audit.append(connection, [line])
    return found


_TABLE: Final = table_of(ExportRow)
_COLUMN: Final = _TABLE.c
_COLUMNS: Final = tuple(column.name for column in _TABLE.columns)
_IS_WANTED: Final = (_COLUMN.state == Standing.PREPARING) & _COLUMN.revoked_at.is_(None)
_INSERT: Final = insert(_TABLE)
_BY_ID: Final = select(_TABLE).where(_COLUMN.id == bindparam("id"))
_OF_CREATOR: Final = (
    select(_TABLE)
    .where(_COLUMN.creator == bindparam("creator"))
    .order_by(_COLUMN.created_at.desc(), _COLUMN.id)
    .limit(MOST)
)
_IS_ALIVE: Final = _COLUMN.revoked_at.is_(None) & (
    (_COLUMN.state == Standing.PREPARING)
    | ((_COLUMN.state == Standing.READY) & (_COLUMN.expires_at > bindparam("now")))
)
_ALIVE: Final = select(_TABLE).where(_IS_ALIVE).order_by(_COLUMN.created_at, _COLUMN.id)
_NUMBER: Final = select(func.count()).where(_COLUMN.creator == bindparam("creator"), _IS_ALIVE)
_ALIVE_OF: Final = _ALIVE.where(
    _COLUMN.owner == bindparam("owner"), _COLUMN.server == bindparam("server")
)
_SET_READY: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"), _IS_WANTED)
    .values(
        state=str(Standing.READY),
        files=bindparam("files"),
        size_bytes=bindparam("size_bytes"),
        summary=bindparam("summary"),
        expires_at=bindparam("expires_at"),
    )
)
_SET_FAILED: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"), _IS_WANTED)
    .values(state=str(Standing.FAILED), problem=bindparam("problem"))
)
_SET_DOWNLOADED: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"))
    .values(downloads=_COLUMN.downloads + 1, downloaded_at=bindparam("at"))
)
_SET_REVOKED: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"), _COLUMN.revoked_at.is_(None))
    .values(revoked_at=bindparam("at"), revoked_by=bindparam("revoker"))
)
_ADD: Final[Write[_Adding, bool]] = Write(
    apply=_add, key=lambda each: each.row["id"], what="record an export"
)
_READY: Final[Write[dict[str, Any], bool]] = Write(
    apply=_ready, key=lambda row: row["b_id"], what="record that an export is ready"
)
_FAILED: Final[Write[dict[str, Any], bool]] = Write(
    apply=_failed, key=lambda row: row["b_id"], what="record that an export failed"
)
_DOWNLOADED: Final[Write[dict[str, Any], None]] = Write(
    apply=_downloaded, key=lambda row: row["b_id"], what="record a download"
)
_REVOKE: Final[Write[dict[str, Any], Export | None]] = Write(
    apply=_revoke, key=lambda row: row["b_id"], what="revoke an export"
)
