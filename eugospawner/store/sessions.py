"""
Sessions: one run of a workspace each, from admission to its end.

A session is *open* until it has ended, and *bound* once its Pod was ready and the allocation read.
Three things hold whoever writes: a workspace has at most one open session (opening the next ends
the one before, as "superseded"), the first end wins, and a session never ends before it began (a
clock that went back is corrected to the admission). All writes are idempotent, so a caller that
got no answer asks again. Source: design §§4, 5 and 7, promises 3 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, bindparam, case, exists, select, update

from eugospawner.policy.errors import StoreError
from eugospawner.store.tables import InsertNew, SessionRow, table_of
from eugospawner.store.types import UtcTime, storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, RowMapping

    from eugospawner.policy.catalog import Kind
    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer

#: Why a session ended whose workspace was started anew while nobody had seen its end.
SUPERSEDED: Final = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """
    A session as it is admitted.

    Attributes:
        id: Made by the caller; opening the same one twice is opening it once.
        owner: User whose workspace it is.
        workspace: Server name; empty for the default server.
        actor: Who asked: the owner, or an admin for them.
        project: Project key; so are *profile*, *flavor* and *queue* keys.
        image: Exact reference.
        gpu_model: Model key; `None` with a *gpu_count* of 0.
        sm_percent: Share of each device, 1 to 100; 0 or 100 without a GPU.
        requested_percent: GPU percent to charge until the allocation is known.
        admitted_at: Aware; comes back in UTC, as all times do.
        ends_at: Deadline; `None`: nothing ends it but idleness.
        ends_because: What the deadline comes from; `None` with no deadline.
    """

    id: str
    owner: str
    workspace: str
    actor: str
    project: str
    profile: str
    flavor: str
    kind: Kind
    queue: str
    image: str
    gpu_model: str | None
    gpu_count: int
    sm_percent: int
    requested_percent: int
    cpu_millicores: int
    memory_bytes: int
    pod_name: str
    admitted_at: datetime
    ends_at: datetime | None
    ends_because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(NewSession):
    """
    A session as it is known.

    Attributes:
        bound_at: When the Pod was ready and the allocation read; `None`: not yet, or never.
        granted_percent: GPU percent that the allocation really consumes; `None` until bound.
        ended_at: `None`: it is open.
        end_reason: Machine reason of the end; `None` while it is open.
    """

    bound_at: datetime | None
    granted_percent: int | None
    ended_at: datetime | None
    end_reason: str | None


class Sessions:
    """The sessions in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def open(self, session: NewSession) -> None:
        """
        Record that *session* was admitted; again with the same id: nothing.

        A session of the same workspace that is still open ends in the same transaction, as
        `SUPERSEDED`: there is one Pod of a workspace at most, so its end was merely not seen.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({name: getattr(session, name) for name in _NEW})
        await self._writer.write(_OPEN, row)

    async def bind(self, session_id: str, *, granted_percent: int, at: datetime) -> None:
        """
        Record what the allocation of a session consumes, once; a session that ended stays as it is.

        Args:
            granted_percent: GPU percent, 0 without a GPU.

        Raises:
            StoreError: It was not recorded, or there is no such session.
        """
        row = storable({"b_id": session_id, "percent": granted_percent, "at": at})
        await self._writer.write(_BIND, row)

    async def end(self, session_id: str, *, reason: str, at: datetime) -> bool:
        """
        Record the end of a session; the first reason stays.

        Returns:
            Whether this call ended it: `False` if it had ended before or is unknown.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"b_id": session_id, "reason": reason, "at": at})
        return await self._writer.write(_END, row)

    async def get(self, session_id: str) -> Session | None:
        """Return a session, open or ended; `None` if there is none."""
        values = storable({"id": session_id})
        rows = await self._database.read("read a session", _BY_ID, values)
        return _session(rows[0]) if rows else None

    async def open_sessions(self) -> tuple[Session, ...]:
        """Return all sessions that have not ended, oldest first."""
        rows = await self._database.read("read the open sessions", _OPEN_ONES)
        return tuple(_session(row) for row in rows)

    async def history(
        self, owner: str, workspace: str | None = None, *, limit: int = 50
    ) -> tuple[Session, ...]:
        """
        Return the sessions of *owner*, open ones included, newest first.

        Args:
            workspace: Of this one only; `None`: of all.
            limit: At most so many; positive.
        """
        if limit < 1:
            message = f"limit is {limit}: ask for at least one session"
            raise StoreError(message)
        values = storable({"owner": owner, "limit": limit})
        statement = _OF_OWNER
        if workspace is not None:
            values |= storable({"workspace": workspace})
            statement = _OF_WORKSPACE
        rows = await self._database.read("read the history of a workspace", statement, values)
        return tuple(_session(row) for row in rows)


def _open(connection: Connection, rows: Sequence[dict[str, object]]) -> Sequence[None]:
    connection.execute(
        _SUPERSEDE,
        [
            {
                "b_id": row["id"],
                "b_owner": row["owner"],
                "b_workspace": row["workspace"],
                "reason": SUPERSEDED,
                "at": row["admitted_at"],
            }
            for row in rows
        ],
    )
    _INSERT.execute(connection, rows)
    return [None] * len(rows)


def _bind(connection: Connection, rows: Sequence[dict[str, object]]) -> Sequence[StoreError | None]:
    known = set(connection.scalars(_KNOWN, {"ids": [row["b_id"] for row in rows]}))
    if found := [row for row in rows if row["b_id"] in known]:
        connection.execute(_SET_BOUND, found)
    return [None if row["b_id"] in known else _unknown(row["b_id"]) for row in rows]


def _end(connection: Connection, rows: Sequence[dict[str, object]]) -> Sequence[bool]:
    still_open = set(connection.scalars(_STILL_OPEN, {"ids": [row["b_id"] for row in rows]}))
    if ending := [row for row in rows if row["b_id"] in still_open]:
        connection.execute(_SET_ENDED, ending)
    return [row["b_id"] in still_open for row in rows]


def _unknown(session_id: object) -> StoreError:
    return StoreError(f"There is no session {session_id!r} to bind: open it first")


def _session(row: RowMapping) -> Session:
    return Session(**row)


_NEW: Final = tuple(field.name for field in fields(NewSession))
_TABLE: Final = table_of(SessionRow)
_COLUMN: Final = _TABLE.c


def _not_before_admission() -> ColumnElement[datetime]:
    at = bindparam("at", type_=UtcTime())
    return case((_COLUMN.admitted_at > at, _COLUMN.admitted_at), else_=at)


# Built once: the compiled form of a statement is looked up by the statement.
_SUPERSEDE: Final = (
    update(_TABLE)
    .where(
        _COLUMN.owner == bindparam("b_owner"),
        _COLUMN.workspace == bindparam("b_workspace"),
        _COLUMN.ended_at.is_(None),
        # A repeated opening of an ended session must not end its successor.
        ~exists(select(1).where(_TABLE.alias("same").c.id == bindparam("b_id"))),
    )
    .values(ended_at=_not_before_admission(), end_reason=bindparam("reason"))
)
_INSERT: Final = InsertNew(_TABLE, conflict=["id"])
_KNOWN: Final = select(_COLUMN.id).where(_COLUMN.id.in_(bindparam("ids", expanding=True)))
_STILL_OPEN: Final = _KNOWN.where(_COLUMN.ended_at.is_(None))
_SET_BOUND: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"), _COLUMN.bound_at.is_(None), _COLUMN.ended_at.is_(None))
    .values(bound_at=_not_before_admission(), granted_percent=bindparam("percent"))
)
_SET_ENDED: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"))
    .values(ended_at=_not_before_admission(), end_reason=bindparam("reason"))
)
_BY_ID: Final = select(_TABLE).where(_COLUMN.id == bindparam("id"))
_OPEN_ONES: Final = (
    select(_TABLE).where(_COLUMN.ended_at.is_(None)).order_by(_COLUMN.admitted_at, _COLUMN.id)
)
_OF_OWNER: Final = (
    select(_TABLE)
    .where(_COLUMN.owner == bindparam("owner"))
    .order_by(_COLUMN.admitted_at.desc(), _COLUMN.id.desc())
    .limit(bindparam("limit"))
)
_OF_WORKSPACE: Final = _OF_OWNER.where(_COLUMN.workspace == bindparam("workspace"))

_OPEN: Final = Write(
    apply=_open, key=lambda row: (row["owner"], row["workspace"]), what="open a session"
)
_BIND: Final = Write(apply=_bind, key=lambda row: row["b_id"], what="bind a session")
_END: Final = Write(apply=_end, key=lambda row: row["b_id"], what="end a session")
