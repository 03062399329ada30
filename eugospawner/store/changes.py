"""
Changes: what admins changed of the catalog and the accounts at run time.

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

from sqlalchemy import Connection, bindparam, func, select

from eugospawner.policy.errors import StoreError
from eugospawner.store import audit
from eugospawner.store.statements import Prepared, Put
from eugospawner.store.tables import ChangeRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer

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


class Changes:
    """The changes in the store."""

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
    line = audit.line_of(
        "remove" if row["document"] is None else "change",
        f"{row['section']}.{row['key']}",
        actor=row["actor"],
        at=row["at"],
        reason=row["reason"],
        detail={
            "before": before,
            "after": None if row["document"] is None else json.loads(row["document"]),
        },
    )
    audit.append(connection, [line])
    return revision


_CHANGES: Final = table_of(ChangeRow)
_PUT: Final = Put(_CHANGES)
_LAST: Final = Prepared(select(func.max(_CHANGES.c.revision)))
_BEFORE: Final = select(_CHANGES.c.document).where(
    _CHANGES.c.section == bindparam("b_section"), _CHANGES.c.key == bindparam("b_key")
)
_SINCE: Final = (
    select(_CHANGES)
    .where(_CHANGES.c.revision > bindparam("revision"))
    .order_by(_CHANGES.c.revision)
)
_PUT_ONE: Final[Write[dict[str, Any], int | None]] = Write(
    apply=_put, key=lambda row: (row["section"], row["key"]), what="change an entry"
)
