"""
Consumption: the ledger by session and day, so that a page need not read millions of entries.

The roll-up takes entries in the order of their ids and remembers how far it came in the same
transaction, so whatever is killed, none is taken twice and none is left out; writers stand in line
(`database`), so no id appears below one that is there. What was written since is read from the
ledger itself: figures are those of admission at any moment, whether the roll-up runs or not.
Source: design §§4 and 7; F102.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, literal, select, union_all
from sqlalchemy.dialects import postgresql, sqlite

from eugospawner.policy.quota import Amounts, SubjectKind, Used
from eugospawner.store.statements import Put
from eugospawner.store.tables import ConsumptionRow, LedgerRow, MarkRow, SessionRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, Select

    from eugospawner.policy.quota import Subject
    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer

_MARK: Final = "consumption"
#: Entries of one roll-up: some tens of milliseconds, in which nobody else writes.
_MOST: Final = 20_000


class Workspace(NamedTuple):
    """The workspace that consumed: whose, which server, in which project."""

    owner: str
    server: str
    project: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """What a workspace used and has reserved of a GPU model; empty: without one."""

    workspace: Workspace
    gpu_model: str
    used: Used


class Consumption:
    """The consumption in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def roll_up(self, *, most: int = _MOST) -> int:
        """
        Take the next entries of the ledger, *most* at a time.

        Returns:
            How many were taken; fewer than *most*: there were no more.

        Raises:
            StoreError: Nothing was taken.
        """
        return await self._writer.write(_ROLL_UP, most)

    async def of(
        self, subject: Subject, *, first_day: str, last_day: str, limit: int = 50
    ) -> tuple[Consumed, ...]:
        """
        Return what counted for *subject* from *first_day* to *last_day*, most GPU time first.

        Args:
            subject: A user, project, group or organization.
            first_day: ISO day of the accounting zone; so is *last_day*, which is included.
            limit: At most so many.
        """
        values = storable({"key": subject.key})
        values |= {"first": first_day, "last": last_day, "limit": limit}
        rows = await self._database.read("read what was consumed", _CONSUMERS[subject.kind], values)
        return tuple(
            Consumed(
                workspace=Workspace(row["owner"], row["workspace"], row["project"]),
                gpu_model=row["gpu_model"],
                used=Used(
                    Amounts(*(int(row[f"settled_{name}"]) for name in Amounts._fields)),
                    Amounts(*(int(row[f"reserved_{name}"]) for name in Amounts._fields)),
                ),
            )
            for row in rows
        )


def _roll_up(connection: Connection, counts: Sequence[int]) -> Sequence[int]:
    return [_roll_up_once(connection, most) for most in counts]


def _roll_up_once(connection: Connection, most: int) -> int:
    mark = connection.scalar(_READ_MARK) or 0
    count, last = connection.execute(_NEXT, {"mark": mark, "most": most}).one()
    if not count:
        return 0
    connection.execute(_TAKE[connection.dialect.name], {"mark": mark, "last": last})
    _PUT_MARK.execute(connection, [{"name": _MARK, "value": last}])
    return int(count)


_CONSUMPTION: Final = table_of(ConsumptionRow)
_LEDGER: Final = table_of(LedgerRow)
_SESSIONS: Final = table_of(SessionRow)
_MARKS: Final = table_of(MarkRow)
_AMOUNTS: Final = [f"{kind}_{name}" for kind in ("settled", "reserved") for name in Amounts._fields]
_OF_SESSION: Final = ("owner", "workspace", "project", "group_key", "organization")

_READ_MARK: Final = select(_MARKS.c.value).where(_MARKS.c.name == _MARK)
_PUT_MARK: Final = Put(_MARKS)
_ids = (
    select(_LEDGER.c.id)
    .where(_LEDGER.c.id > bindparam("mark"))
    .order_by(_LEDGER.c.id)
    .limit(bindparam("most"))
    .subquery()
)
_NEXT: Final = select(func.count(), func.max(_ids.c.id))


def _model() -> Column[str]:
    return func.coalesce(_SESSIONS.c.gpu_model, "").label("gpu_model")  # type: ignore[return-value]


def _entries() -> Select[tuple[object, ...]]:
    """Return the ledger's entries after the mark, by session and day, with whose they are."""
    return (
        select(
            _SESSIONS.c.id.label("session_id"),
            _LEDGER.c.day,
            *(_SESSIONS.c[name] for name in _OF_SESSION),
            _model(),
            *(func.sum(_LEDGER.c[name]).label(name) for name in _AMOUNTS),
        )
        .join(_SESSIONS, _SESSIONS.c.id == _LEDGER.c.session_id)
        .group_by(_SESSIONS.c.id, _LEDGER.c.day)
    )


def _taking(upsert: type[sqlite.Insert | postgresql.Insert]) -> sqlite.Insert | postgresql.Insert:
    columns = ["session_id", "day", *_OF_SESSION, "gpu_model", *_AMOUNTS]
    taken = _entries().where(_LEDGER.c.id > bindparam("mark"), _LEDGER.c.id <= bindparam("last"))
    statement = upsert(_CONSUMPTION).from_select(columns, taken)
    return statement.on_conflict_do_update(
        index_elements=["session_id", "day"],
        set_={name: _CONSUMPTION.c[name] + statement.excluded[name] for name in _AMOUNTS},
    )


_TAKE: Final = {"sqlite": _taking(sqlite.Insert), "postgresql": _taking(postgresql.Insert)}


def _consumers(column: str) -> Select[tuple[object, ...]]:
    names = ("owner", "workspace", "project", "gpu_model")
    rolled = select(
        *(_CONSUMPTION.c[name] for name in names), *(_CONSUMPTION.c[name] for name in _AMOUNTS)
    ).where(
        _CONSUMPTION.c[column] == bindparam("key"),
        _CONSUMPTION.c.day.between(bindparam("first"), bindparam("last")),
    )
    mark = func.coalesce(_READ_MARK.scalar_subquery(), literal(0))
    since = (
        select(
            *(_SESSIONS.c[name] for name in names[:-1]),
            _model(),
            *(_LEDGER.c[name] for name in _AMOUNTS),
        )
        .join(_SESSIONS, _SESSIONS.c.id == _LEDGER.c.session_id)
        .where(
            _LEDGER.c.id > mark,
            _SESSIONS.c[column] == bindparam("key"),
            _LEDGER.c.day.between(bindparam("first"), bindparam("last")),
        )
    )
    both = union_all(rolled, since).subquery()
    sums = {name: func.sum(both.c[name]) for name in _AMOUNTS}
    gpu, cpu = (sums[f"settled_{each}"] + sums[f"reserved_{each}"] for each in ("gpu", "cpu"))
    memory = sums["settled_memory"] + sums["reserved_memory"]
    keys = [both.c[name] for name in names]
    return (
        select(*keys, *(total.label(name) for name, total in sums.items()))
        .group_by(*keys)
        .having(gpu + cpu + memory > 0)
        .order_by(gpu.desc(), cpu.desc(), *keys)
        .limit(bindparam("limit"))
    )


_CONSUMERS: Final = {
    SubjectKind.USER: _consumers("owner"),
    SubjectKind.PROJECT: _consumers("project"),
    SubjectKind.GROUP: _consumers("group_key"),
    SubjectKind.ORGANIZATION: _consumers("organization"),
}
_ROLL_UP: Final = Write(apply=_roll_up, key=lambda _: _MARK, what="roll up the ledger")
