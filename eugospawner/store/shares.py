"""
Shares: documents that somebody made of a notebook and lets others read.

What is kept is the document, as it was when it was shared: readers see that and never the volume. A share ends by
itself or is revoked, and its document is gone with it. Each step that somebody takes is written with its audit line.
Source: F88; facts on security, §1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from eugospawner.store import audit
from eugospawner.store.tables import ShareRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.workspaces import object_of
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer

#: More than any list shows.
MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """
    A share as it stands, without its document.

    Attributes:
        id: Random.
        owner: Whose workspace the notebook is in; *server* is empty for the default one.
        creator: Who shares it.
        notebook: Where it is, as people read it: ``home/thesis/a.ipynb``.
        form: `html` or `pdf`.
        name: Of the file.
        people: User names that may read it.
        groups: Keys of groups whose members may.
        organization: Key of the organization whose members may; empty: none.
        size_bytes: Of the document.
    """

    id: str
    owner: str
    server: str
    creator: str
    notebook: str
    form: str
    name: str
    people: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    organization: str = ""
    size_bytes: int
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str = ""

    def is_open(self, now: datetime) -> bool:
        """Whether it can be read at *now* by those who may."""
        return self.revoked_at is None and now < self.expires_at


class Shares:
    """The shares in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def add(self, share: Share, document: bytes) -> None:
        """
        Record a new share with its *document*.

        Raises:
            StoreError: It was not recorded.
        """
        lists = {name: json.dumps(list(getattr(share, name))) for name in _LISTS}
        row = {name: getattr(share, name) for name in _COLUMNS if name not in {*lists, "notebook"}}
        # A path may be longer than what is sought by.
        texts = {**lists, "notebook": share.notebook, "document": document}
        await self._writer.write(_ADD, {**storable(row), **texts})

    async def get(self, identifier: str) -> Share | None:
        """Return the share *identifier*; `None`: there is none."""
        rows = await self._database.read("read a share", _BY_ID, storable({"id": identifier}))
        return _share(rows[0]) if rows else None

    async def document(self, identifier: str) -> bytes | None:
        """Return the document of a share; `None`: it is gone."""
        rows = await self._database.read("read a document", _DOCUMENT, storable({"id": identifier}))
        return bytes(rows[0]["document"]) if rows and rows[0]["document"] is not None else None

    async def of_creator(self, creator: str) -> tuple[Share, ...]:
        """Return what *creator* shared, newest first, at most `MOST`."""
        rows = await self._database.read("read shares", _OF_CREATOR, storable({"creator": creator}))
        return tuple(_share(row) for row in rows)

    async def open_shares(self, now: datetime) -> tuple[Share, ...]:
        """Return all that can be read at *now*, newest first."""
        rows = await self._database.read("read shares", _OPEN, storable({"now": now}))
        return tuple(_share(row) for row in rows)

    async def open_of(self, owner: str, server: str, now: datetime) -> tuple[Share, ...]:
        """Return what is shared at *now* of one workspace."""
        values = storable({"owner": owner, "server": server, "now": now})
        rows = await self._database.read("read shares", _OPEN_OF, values)
        return tuple(_share(row) for row in rows)

    async def revoke(self, identifier: str, *, actor: str, at: datetime) -> Share | None:
        """
        Take a share back, and its document away; `None`: there is none, or it was revoked before.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"b_id": identifier, "actor": actor, "at": at})
        return await self._writer.write(_REVOKE, row)

    async def clear(self, now: datetime) -> int:
        """
        Take away the documents of shares that have ended; return how many there were.

        Raises:
            StoreError: It was not recorded.
        """
        values = storable({"now": now})
        # Asked at every sweep: to read is no burden on whoever writes.
        if not await self._database.read("read what has ended", _ENDED, values):
            return 0
        return await self._writer.write(_CLEAR, values)


def _share(row: Any) -> Share:
    values = {name: row[name] for name in _COLUMNS}
    values |= {name: tuple(json.loads(row[name])) for name in _LISTS}
    return Share(**values)


def _add(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    for row in rows:
        connection.execute(_INSERT, row)
        detail = {
            "share": row["id"], "notebook": row["notebook"], "form": row["form"],
            "people": json.loads(row["people"]), "groups": json.loads(row["groups"]),
            "organization": row["organization"], "until": row["expires_at"].isoformat(),
        }  # fmt: skip
        line = audit.line_of(
            "share",
            object_of(row["owner"], row["server"]),
            actor=row["creator"],
            at=row["created_at"],
            detail=detail,
        )
        audit.append(connection, [line])
    return [None] * len(rows)


def _revoke(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[Share | None]:
    return [_revoke_one(connection, row) for row in rows]


def _revoke_one(connection: Connection, row: dict[str, Any]) -> Share | None:
    values = {"b_id": row["b_id"], "at": row["at"], "revoker": row["actor"]}
    if not connection.execute(_SET_REVOKED, values).rowcount:
        return None
    found = _share(connection.execute(_BY_ID, {"id": row["b_id"]}).mappings().one())
    line = audit.line_of(
        "revoke-share",
        object_of(found.owner, found.server),
        actor=row["actor"],
        at=row["at"],
        detail={"share": found.id},
    )
    audit.append(connection, [line])
    return found


def _clear(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[int]:
    return [connection.execute(_SET_CLEARED, row).rowcount for row in rows]


_TABLE: Final = table_of(ShareRow)
_COLUMN: Final = _TABLE.c
_LISTS: Final = ("people", "groups")
_COLUMNS: Final = tuple(column.name for column in _TABLE.columns if column.name != "document")
_WITHOUT: Final = [_COLUMN[name] for name in _COLUMNS]
_INSERT: Final = insert(_TABLE)
_BY_ID: Final = select(*_WITHOUT).where(_COLUMN.id == bindparam("id"))
_DOCUMENT: Final = select(_COLUMN.document).where(_COLUMN.id == bindparam("id"))
_OF_CREATOR: Final = (
    select(*_WITHOUT)
    .where(_COLUMN.creator == bindparam("creator"))
    .order_by(_COLUMN.created_at.desc(), _COLUMN.id)
    .limit(MOST)
)
_OPEN: Final = (
    select(*_WITHOUT)
    .where(_COLUMN.revoked_at.is_(None), _COLUMN.expires_at > bindparam("now"))
    .order_by(_COLUMN.created_at.desc(), _COLUMN.id)
)
_OPEN_OF: Final = _OPEN.where(
    _COLUMN.owner == bindparam("owner"), _COLUMN.server == bindparam("server")
)
_SET_REVOKED: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"), _COLUMN.revoked_at.is_(None))
    .values(revoked_at=bindparam("at"), revoked_by=bindparam("revoker"), document=None)
)
_HAS_ENDED: Final = _COLUMN.document.is_not(None) & (_COLUMN.expires_at <= bindparam("now"))
_ENDED: Final = select(_COLUMN.id).where(_HAS_ENDED).limit(1)
_SET_CLEARED: Final = update(_TABLE).where(_HAS_ENDED).values(document=None)
_ADD: Final[Write[dict[str, Any], None]] = Write(
    apply=_add, key=lambda row: row["id"], what="record a share"
)
_REVOKE: Final[Write[dict[str, Any], Share | None]] = Write(
    apply=_revoke, key=lambda row: row["b_id"], what="revoke a share"
)
_CLEAR: Final[Write[dict[str, Any], int]] = Write(
    apply=_clear, key=lambda row: row["now"], what="take away documents"
)
