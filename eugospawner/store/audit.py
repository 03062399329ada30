"""
Audit: who did what to which object, when and why, in an order that nobody can change unseen.

Lines are only ever added, in the transaction of what they tell. Each carries a *seal*: the SHA-256 of the
seal before it and of the line itself, so whoever alters, removes or inserts one breaks all seals that follow.
A release that knew no seals wrote none; the next line with a seal seals those, too. What the chain cannot
show is a tail that was cut off: an *anchor* kept elsewhere (id and seal of the last line) does.
Source: design promise 8; F115, F116; L12.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, func, insert, select

from eugospawner.store.statements import Prepared
from eugospawner.store.tables import AuditRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import RowMapping

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer

#: The action of somebody who asks for access.
REQUEST: Final = "request-access"
#: Before the first line.
GENESIS: Final = "0" * 64
#: Lines that are read at once when all are.
_CHUNK: Final = 5000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The last line with a seal, as it was known somewhere else at some time."""

    id: int
    seal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """
    What came of looking at all seals.

    Attributes:
        lines: How many there are.
        last: The last line with a seal; `None`: there is none.
        problems: What is wrong, one sentence each, the first first; empty: nothing is.
    """

    lines: int
    last: Anchor | None
    problems: tuple[str, ...]


class AuditLog:
    """The audit in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

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
        Write a line about what changes nothing else: who signed in, who looked where.

        Args:
            what: Kind and key of the object: ``people.alice``, ``workspace.alice/thesis``.

        Raises:
            StoreError: It was not recorded.
        """
        line = line_of(action, what, actor=actor, at=at, reason=reason, detail=detail)
        storable({name: value for name, value in line.items() if name != "detail"})
        await self._writer.write(_RECORD_ONE, line)

    async def lines(
        self,
        *,
        about: str | None = None,
        prefix: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> tuple[Audit, ...]:
        """
        Return lines, newest first; what is `None` may be whatever it is.

        Args:
            about: What is done to, to the letter: ``plans.research``.
            prefix: What that begins with: ``workspace.alice/``.
            since: From this moment on; *until*: before that one.
            before: Only those with a smaller id.
        """
        exact = {"object": about, "actor": actor, "action": action}
        storable({**exact, "object": about or prefix, "since": since, "until": until})
        conditions = [_COLUMN[name] == value for name, value in exact.items() if value is not None]
        if prefix is not None:
            conditions.append(func.substr(_COLUMN.object, 1, len(prefix)) == prefix)
        if since is not None:
            conditions.append(_COLUMN.at >= since)
        if until is not None:
            conditions.append(_COLUMN.at < until)
        if before is not None:
            conditions.append(_COLUMN.id < before)
        wanted = select(_TABLE).where(*conditions).order_by(_COLUMN.id.desc()).limit(limit)
        rows = await self._database.read("read the audit", wanted)
        return tuple(_audit(row) for row in rows)

    async def after(self, last: int, *, limit: int = 100) -> tuple[Audit, ...]:
        """Return lines with a greater id than *last*, oldest first."""
        rows = await self._database.read("read the audit", _AFTER, {"last": last, "limit": limit})
        return tuple(_audit(row) for row in rows)

    async def requests(self, objects: Sequence[str]) -> tuple[Audit, ...]:
        """Return who asked for access to any of *objects*, newest first, at most a hundred."""
        if not objects:
            return ()
        values = {"objects": list(objects), "action": REQUEST}
        rows = await self._database.read("read requests for access", _REQUESTS, values)
        return tuple(_audit(row) for row in rows)

    async def head(self) -> Anchor | None:
        """Return the last line with a seal; `None`: there is none."""
        return await self._database.look("read the end of the audit", _head)

    async def verify(self, anchors: Iterable[Anchor] = ()) -> Verified:
        """
        Look at the seals of all lines, and whether those that *anchors* name are still there.

        Raises:
            StoreError: The database does not answer.
        """
        known = tuple(anchors)
        return await self._database.look(
            "verify the audit", lambda connection: _verify(connection, known)
        )


def line_of(
    action: str,
    what: str,
    *,
    actor: str,
    at: datetime,
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a line for `append`."""
    return {
        "at": at.astimezone(UTC),
        "actor": actor,
        "action": action,
        "object": what,
        "reason": reason,
        "detail": json.dumps(detail or {}, ensure_ascii=False),
    }


def append(connection: Connection, lines: Sequence[Mapping[str, Any]]) -> None:
    """
    Write *lines* (as of `line_of`) at the end, in somebody's transaction.

    Whoever writes to the store holds it alone (`database`), so nobody else appends meanwhile.
    """
    if not lines:
        return
    seal = _seal_so_far(connection)
    rows = []
    for line in lines:
        seal = _sealed(seal, line)
        rows.append({**line, "seal": seal})
    connection.execute(_INSERT, rows)


def _seal_so_far(connection: Connection) -> str:
    """Return the seal of everything that is there, lines without one included."""
    found = _LAST.execute(connection).one_or_none()
    if found is None:
        return GENESIS
    if found.seal is not None:
        return str(found.seal)
    head = _head(connection)
    seal = GENESIS if head is None else head.seal
    last = _FIRST_ID if head is None else head.id
    for row in connection.execute(_ALL_AFTER, {"last": last}).mappings():
        seal = _sealed(seal, row)
    return seal


def _sealed(seal: str, line: Mapping[str, Any] | RowMapping) -> str:
    content = [
        line["at"].astimezone(UTC).isoformat(timespec="microseconds"),
        *(line[name] for name in ("actor", "action", "object", "reason", "detail")),
    ]
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return sha256(f"{seal}\n{text}".encode()).hexdigest()


def _head(connection: Connection) -> Anchor | None:
    row = connection.execute(_LAST_SEALED).one_or_none()
    return None if row is None else Anchor(id=row.id, seal=row.seal)


def _verify(connection: Connection, anchors: Sequence[Anchor]) -> Verified:
    seal, lines, last = GENESIS, 0, None
    unsealed = 0
    problems: list[str] = []
    wanted = {anchor.id: anchor.seal for anchor in anchors}
    at = _FIRST_ID
    while chunk := connection.execute(_CHUNK_AFTER, {"last": at, "limit": _CHUNK}).mappings().all():
        for row in chunk:
            at, lines = row["id"], lines + 1
            seal = _sealed(seal, row)
            if row["seal"] is None:
                unsealed += 1
            else:
                if row["seal"] != seal:
                    problems.append(
                        f"The line {at} does not follow from those before it: it or a line before "
                        "it was altered, removed or put in between"
                    )
                    seal = row["seal"]  # so that what follows is judged by itself
                last, unsealed = Anchor(id=at, seal=row["seal"]), 0
            if at in wanted and wanted.pop(at) != row["seal"]:
                problems.append(f"The line {at} is not the one that the anchor names")
    if unsealed:
        problems.append(
            f"The last {unsealed} lines have no seal: they were not written by this release"
        )
    problems += [
        f"The line {anchor} is gone, of which the anchor says that it was there: the end of the "
        "audit was cut off, or an older copy of the database was put in its place"
        for anchor in sorted(wanted)
    ]
    return Verified(lines=lines, last=last, problems=tuple(problems))


def _audit(row: RowMapping) -> Audit:
    shown = {name: row[name] for name in ("id", "at", "actor", "action", "object", "reason")}
    return Audit(**shown, detail=json.loads(row["detail"]))


def _record(connection: Connection, lines: Sequence[dict[str, Any]]) -> Sequence[None]:
    append(connection, lines)
    return [None] * len(lines)


#: Whoever puts a line before the first one has these to choose from.
_FIRST_ID: Final = -(2**63)
_TABLE: Final = table_of(AuditRow)
_COLUMN: Final = _TABLE.c
_INSERT: Final = insert(_TABLE)
_LAST: Final = Prepared(select(_COLUMN.seal).order_by(_COLUMN.id.desc()).limit(1))
_LAST_SEALED: Final = (
    select(_COLUMN.id, _COLUMN.seal)
    .where(_COLUMN.seal.is_not(None))
    .order_by(_COLUMN.id.desc())
    .limit(1)
)
_ALL_AFTER: Final = select(_TABLE).where(_COLUMN.id > bindparam("last")).order_by(_COLUMN.id)
_CHUNK_AFTER: Final = _ALL_AFTER.limit(bindparam("limit"))
_AFTER: Final = _CHUNK_AFTER
_REQUESTS: Final = (
    select(_TABLE)
    .where(
        _COLUMN.object.in_(bindparam("objects", expanding=True)),
        _COLUMN.action == bindparam("action"),
    )
    .order_by(_COLUMN.id.desc())
    .limit(100)
)
_RECORD_ONE: Final[Write[dict[str, Any], None]] = Write(
    apply=_record, key=id, what="record what somebody did"
)
