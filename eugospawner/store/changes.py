"""
Changes: what admins changed of the catalog and the accounts at run time, and the audit of it.

A change is an entry of `catalog.yaml` in the words of the file, by section and key; it wins over
the file, and its removal hides the file's. Each has a revision that grows with every change of any
entry, so a reader asks for what came after the last it saw. Every change is written with its audit
line in one transaction; what it means, and whether it is right, is for `settings` to say before.
Source: design §4; promise 8.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, func, insert, select

from eugospawner.policy.errors import StoreError
from eugospawner.store.statements import Prepared, Put
from eugospawner.store.tables import AuditRow, ChangeRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer

#: The action of somebody who asks for access.
REQUEST: Final = "request-access"
#: An entry is some lines of YAML; PostgreSQL keeps more, and nobody reads it.
LARGEST_DOCUMENT: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    One entry as it was changed.

    Attributes:
        document: As JSON gives it; `None`: the entry was removed.
        revision: Positive, unique, growing.
    """

    section: str
    key: str
    document: Any
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Who did what to which object, when and why; *detail* as JSON gives it."""

    id: int
    at: datetime
    actor: str
    action: str
    object: str
    reason: str
    detail: Any


class Changes:
    """The changes in the store, and the audit."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def since(self, revision: int) -> tuple[Change, ...]:
        """Return what was changed after *revision*, in order; 0: all."""
        return await self._database.look(
            "read what was changed", lambda connection: read_changes(connection, revision)
        )

    async def put(
        self,
        section: str,
        key: str,
        document: Any,
        *,
        actor: str,
        reason: str,
        at: datetime,
        expected: int | None = None,
        in_file: Any = None,
    ) -> int | None:
        """
        Change an entry and write the audit; `None` removes it.

        Args:
            expected: The revision by which the change was judged: nothing is changed if there is
                another by now. `None`: whatever it is.
            in_file: The entry as the file has it, for the audit of its first change.

        Returns:
            The new revision; `None`: nothing was changed, because others changed something.

        Raises:
            StoreError: It was not recorded, or is too large.
        """
        text = None if document is None else json.dumps(document, ensure_ascii=False)
        if text is not None and len(text) > LARGEST_DOCUMENT:
            message = f"{section}.{key} is larger than {LARGEST_DOCUMENT} characters: say less"
            raise StoreError(message)
        row = storable({"section": section, "key": key, "actor": actor, "reason": reason, "at": at})
        return await self._writer.write(
            _PUT_ONE, {**row, "document": text, "expected": expected, "in_file": in_file}
        )

    async def record(
        self,
        action: str,
        what: str,
        *,
        actor: str,
        at: datetime,
        reason: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Write a line of the audit about what changes no entry: who signed in, who looked where.

        Args:
            what: Kind and key of the object: ``people.alice``, ``workspace.alice/thesis``.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable(
            {"actor": actor, "action": action, "object": what, "reason": reason, "at": at}
        )
        await self._writer.write(_RECORD_ONE, {**row, "detail": json.dumps(detail or {})})

    async def audit(
        self, *, limit: int = 100, before: int | None = None, about: str | None = None
    ) -> tuple[Audit, ...]:
        """
        Return lines of the audit, newest first.

        Args:
            before: Only those with a smaller id; `None`: from the newest on.
            about: Only those about this object, such as ``plans.research``; `None`: about all.
        """
        values = storable({"about": about}) | {"limit": limit, "before": before or _INT64_MAX}
        statement = _NEWEST if about is None else _NEWEST_ABOUT
        rows = await self._database.read("read the audit", statement, values)
        return tuple(Audit(**{**row, "detail": json.loads(row["detail"])}) for row in rows)

    async def requests(self, objects: Sequence[str]) -> tuple[Audit, ...]:
        """Return who asked for access to any of *objects*, newest first, at most a hundred."""
        if not objects:
            return ()
        values = {"objects": list(objects), "action": REQUEST}
        rows = await self._database.read("read requests for access", _REQUESTS, values)
        return tuple(Audit(**{**row, "detail": json.loads(row["detail"])}) for row in rows)


def read_changes(connection: Connection, revision: int) -> tuple[Change, ...]:
    """Return what was changed after *revision*, in order."""
    return tuple(
        Change(
            section=row.section,
            key=row.key,
            document=None if row.document is None else json.loads(row.document),
            revision=row.revision,
        )
        for row in connection.execute(_SINCE, {"revision": revision})
    )


def last_revision(connection: Connection) -> int:
    """Return the revision of the last change; 0 if nothing was ever changed."""
    return int(_LAST.execute(connection).scalar() or 0)


def put_change(
    connection: Connection,
    section: str,
    key: str,
    document: Any,
    *,
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    """Change an entry in somebody's transaction, with its audit."""
    row = {"section": section, "key": key, "actor": actor, "reason": reason, "at": at}
    text = None if document is None else json.dumps(document, ensure_ascii=False)
    _put_one(connection, {**row, "document": text, "expected": None, "in_file": None})


def record_line(
    connection: Connection,
    action: str,
    what: str,
    *,
    actor: str,
    at: datetime,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write a line of the audit in somebody's transaction."""
    line = {
        "at": at, "actor": actor, "action": action, "object": what, "reason": "",
        "detail": json.dumps(detail or {}),
    }  # fmt: skip
    connection.execute(_RECORD, line)


def _record(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    connection.execute(_RECORD, list(rows))
    return [None] * len(rows)


def _put(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[int | None]:
    return [_put_one(connection, row) for row in rows]


def _put_one(connection: Connection, row: dict[str, Any]) -> int | None:
    last = last_revision(connection)
    if row["expected"] not in {None, last}:
        return None
    revision = last + 1
    known = connection.execute(
        _BEFORE, {"b_section": row["section"], "b_key": row["key"]}
    ).one_or_none()
    if known is None:
        before = row["in_file"]
    else:
        before = None if known.document is None else json.loads(known.document)
    change = {
        "section": row["section"],
        "key": row["key"],
        "document": row["document"],
        "revision": revision,
        "changed_at": row["at"],
        "changed_by": row["actor"],
    }
    _PUT.execute(connection, [change])
    detail = {
        "before": before,
        "after": None if row["document"] is None else json.loads(row["document"]),
    }
    connection.execute(
        _RECORD,
        {
            "at": row["at"],
            "actor": row["actor"],
            "action": "remove" if row["document"] is None else "change",
            "object": f"{row['section']}.{row['key']}",
            "reason": row["reason"],
            "detail": json.dumps(detail),
        },
    )
    return revision


_CHANGES: Final = table_of(ChangeRow)
_AUDIT: Final = table_of(AuditRow)
_PUT: Final = Put(_CHANGES)
_RECORD: Final = insert(_AUDIT)
_LAST: Final = Prepared(select(func.max(_CHANGES.c.revision)))
_BEFORE: Final = select(_CHANGES.c.document).where(
    _CHANGES.c.section == bindparam("b_section"), _CHANGES.c.key == bindparam("b_key")
)
_SINCE: Final = (
    select(_CHANGES)
    .where(_CHANGES.c.revision > bindparam("revision"))
    .order_by(_CHANGES.c.revision)
)
_INT64_MAX: Final = 2**63 - 1
_NEWEST: Final = (
    select(_AUDIT)
    .where(_AUDIT.c.id < bindparam("before"))
    .order_by(_AUDIT.c.id.desc())
    .limit(bindparam("limit"))
)
_NEWEST_ABOUT: Final = _NEWEST.where(_AUDIT.c.object == bindparam("about"))
_REQUESTS: Final = (
    select(_AUDIT)
    .where(
        _AUDIT.c.object.in_(bindparam("objects", expanding=True)),
        _AUDIT.c.action == bindparam("action"),
    )
    .order_by(_AUDIT.c.id.desc())
    .limit(100)
)
_RECORD_ONE: Final[Write[dict[str, Any], None]] = Write(
    apply=_record, key=lambda row: row["object"], what="record what somebody did"
)
_PUT_ONE: Final[Write[dict[str, Any], int | None]] = Write(
    apply=_put, key=lambda row: (row["section"], row["key"]), what="change an entry"
)
