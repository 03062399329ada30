"""
Measures: what volumes held when they were last looked at, homes among them.

That a volume is to be measured stands here, so whoever measures may die over it: the next finds it. A try that failed
leaves the amounts of the last that did not. Source: F84, F86.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, literal, or_, select, union, update

from eugospawner.policy.lifecycle import State
from eugospawner.policy.volumes import HOME, holder_of
from eugospawner.store.statements import InsertNew
from eugospawner.store.tables import MeasureRow, VolumeRow, WorkspaceRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer

_LONGEST_PROBLEM: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """
    What is known of a volume.

    Attributes:
        volume: Its key among the owner's; `HOME` for the home.
        wanted_at: UTC; since when it is to be measured; `None`: it is not.
        looked_at: UTC; the last try.
        measured_at: UTC; of the amounts; `None`: it never was, and they are nothing.
        capacity_bytes: Size that Kubernetes gave it, as of then.
        free_bytes: What its disk had free, which it may share with others.
        summary: Its largest folders, and those that could go (`exporter.usage`).
        problem: Why the last try failed; empty: it did not.
    """

    owner: str
    volume: str
    wanted_at: datetime | None = None
    looked_at: datetime | None = None
    measured_at: datetime | None = None
    capacity_bytes: int = 0
    used_bytes: int = 0
    free_bytes: int = 0
    files: int = 0
    summary: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


class Measures:
    """The measures in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def of_owner(self, owner: str) -> Mapping[str, Measure]:
        """Return what is known of the volumes of *owner*, by key."""
        rows = await self._database.read("read measures", _OF_OWNER, storable({"owner": owner}))
        return {row["volume"]: _measure(row) for row in rows}

    async def every(self) -> Mapping[str, Mapping[str, Measure]]:
        """Return what is known of all volumes, by owner and key."""
        found: dict[str, dict[str, Measure]] = {}
        for row in await self._database.read("read measures", _EVERY):
            found.setdefault(row["owner"], {})[row["volume"]] = _measure(row)
        return found

    async def wanted(self, *, limit: int) -> tuple[Measure, ...]:
        """Return those that are to be measured, who has waited longest first."""
        rows = await self._database.read("read measures", _WANTED, {"limit": limit})
        return tuple(_measure(row) for row in rows)

    async def want(self, owner: str, volume: str, *, at: datetime) -> None:
        """
        Have a volume measured; one that is to be already keeps its turn.

        Raises:
            StoreError: It was not recorded.
        """
        row = {**_EMPTY, "owner": owner, "volume": volume, "wanted_at": at}
        await self._writer.write(_WANT, storable(row))

    async def want_due(
        self, *, before: datetime, settled: datetime, at: datetime, limit: int
    ) -> int:
        """
        Have those measured that may hold something else than when they were last looked at before *before*.

        Args:
            settled: What was never measured is due once its workspace has been as it is since then.

        Raises:
            StoreError: It was not recorded.
        """
        values = storable({"before": before, "settled": settled, "limit": limit})
        rows = await self._database.read("read which volumes were not measured", _DUE, values)
        for row in rows:
            await self.want(row["owner"], row["volume"], at=at)
        return len(rows)

    async def measured(self, measure: Measure) -> None:
        """
        Record what a volume holds; whoever wished for it meanwhile has it, too.

        Raises:
            StoreError: It was not recorded.
        """
        values = {name: getattr(measure, name) for name in _AMOUNTS}
        values |= {
            "b_owner": measure.owner, "b_volume": measure.volume,
            "looked_at": measure.measured_at, "measured_at": measure.measured_at, "problem": "",
        }  # fmt: skip
        # ASCII: no name of a file, whatever its bytes, is a character that a database refuses.
        summary = {"summary": json.dumps(measure.summary)}
        await self._writer.write(_MEASURED, storable(values) | summary)

    async def failed(self, owner: str, volume: str, problem: str, *, at: datetime) -> None:
        """
        Record that a volume could not be measured.

        Raises:
            StoreError: It was not recorded.
        """
        values = {
            "b_owner": owner, "b_volume": volume, "problem": problem[:_LONGEST_PROBLEM],
            "looked_at": at,
        }  # fmt: skip
        await self._writer.write(_FAILED, storable(values))

    async def forget(self, owner: str, volume: str) -> None:
        """
        Forget a volume that is no more.

        Raises:
            StoreError: It was not recorded.
        """
        await self._writer.write(_FORGET, storable({"b_owner": owner, "b_volume": volume}))


def _measure(row: Any) -> Measure:
    return Measure(**{**row, "summary": json.loads(row["summary"])})


def _want(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    _INSERT.execute(connection, rows)
    for row in rows:
        values = {"b_owner": row["owner"], "b_volume": row["volume"], "at": row["wanted_at"]}
        connection.execute(_SET_WANTED, values)
    return [None] * len(rows)


def _measured(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    for row in rows:
        connection.execute(_SET_MEASURED, row)
    return [None] * len(rows)


def _failed(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    for row in rows:
        connection.execute(_SET_FAILED, row)
    return [None] * len(rows)


def _forget(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    for row in rows:
        connection.execute(_DELETE, row)
    return [None] * len(rows)


_TABLE: Final = table_of(MeasureRow)
_COLUMN: Final = _TABLE.c
_WORKSPACE: Final = table_of(WorkspaceRow).c
_VOLUME: Final = table_of(VolumeRow).c
_AMOUNTS: Final = ("capacity_bytes", "used_bytes", "free_bytes", "files")
_EMPTY: Final[Mapping[str, Any]] = {
    **dict.fromkeys(_AMOUNTS, 0), "looked_at": None, "measured_at": None, "summary": "{}",
    "problem": "",
}  # fmt: skip
_INSERT: Final = InsertNew(_TABLE)
_OF_OWNER: Final = select(_TABLE).where(_COLUMN.owner == bindparam("owner"))
_EVERY: Final = select(_TABLE)
_WANTED: Final = (
    select(_TABLE)
    .where(_COLUMN.wanted_at.is_not(None))
    .order_by(_COLUMN.wanted_at, _COLUMN.owner, _COLUMN.volume)
    .limit(bindparam("limit"))
)
_THIS: Final = and_(_COLUMN.owner == bindparam("b_owner"), _COLUMN.volume == bindparam("b_volume"))
_SET_WANTED: Final = (
    update(_TABLE).where(_THIS, _COLUMN.wanted_at.is_(None)).values(wanted_at=bindparam("at"))
)
_SET_MEASURED: Final = (
    update(_TABLE)
    .where(_THIS)
    .values(
        wanted_at=None,
        looked_at=bindparam("looked_at"),
        measured_at=bindparam("measured_at"),
        summary=bindparam("summary"),
        problem=bindparam("problem"),
        **{name: bindparam(name) for name in _AMOUNTS},
    )
)
_SET_FAILED: Final = (
    update(_TABLE)
    .where(_THIS)
    .values(wanted_at=None, looked_at=bindparam("looked_at"), problem=bindparam("problem"))
)
_DELETE: Final = delete(_TABLE).where(_THIS)
#: Where somebody may have written: what runs, and what has changed its state since it was looked at.
_IS_DUE: Final = and_(
    _WORKSPACE.state.not_in([State.CREATED, State.TERMINATING, State.TERMINATED]),
    _WORKSPACE.session_id.is_not(None),
    or_(
        and_(_COLUMN.owner.is_(None), _WORKSPACE.since <= bindparam("settled")),
        and_(
            _COLUMN.wanted_at.is_(None),
            _COLUMN.looked_at < bindparam("before"),
            or_(_WORKSPACE.state == State.RUNNING, _WORKSPACE.since > _COLUMN.looked_at),
        ),
    ),
)
_WORKSPACES: Final = table_of(WorkspaceRow)
_VOLUMES: Final = table_of(VolumeRow)
_HOMES_DUE: Final = (
    select(_WORKSPACE.owner, literal(HOME).label("volume"))
    .select_from(
        _WORKSPACES.outerjoin(
            _TABLE, and_(_COLUMN.owner == _WORKSPACE.owner, _COLUMN.volume == HOME)
        )
    )
    .where(_IS_DUE)
)
_VOLUMES_DUE: Final = (
    select(_VOLUME.owner, _VOLUME.key.label("volume"))
    .select_from(
        _VOLUMES.join(_WORKSPACES, _WORKSPACE.owner == _VOLUME.owner).outerjoin(
            _TABLE, and_(_COLUMN.owner == _VOLUME.owner, _COLUMN.volume == _VOLUME.key)
        )
    )
    .where(_IS_DUE)
)
_PROJECTS_DUE: Final = (
    select(_VOLUME.owner, _VOLUME.key.label("volume"))
    .select_from(
        _VOLUMES.join(
            _WORKSPACES, _VOLUME.owner == literal(holder_of("")).concat(_WORKSPACE.project)
        ).outerjoin(_TABLE, and_(_COLUMN.owner == _VOLUME.owner, _COLUMN.volume == _VOLUME.key))
    )
    .where(_IS_DUE)
)
_ALL_DUE: Final = union(_HOMES_DUE, _VOLUMES_DUE, _PROJECTS_DUE).subquery()
_DUE: Final = (
    select(_ALL_DUE).order_by(_ALL_DUE.c.owner, _ALL_DUE.c.volume).limit(bindparam("limit"))
)
_WANT: Final[Write[dict[str, Any], None]] = Write(
    apply=_want, key=lambda row: (row["owner"], row["volume"]), what="have a volume measured"
)
_MEASURED: Final[Write[dict[str, Any], None]] = Write(
    apply=_measured, key=lambda row: (row["b_owner"], row["b_volume"]), what="record a measure"
)
_FAILED: Final[Write[dict[str, Any], None]] = Write(
    apply=_failed,
    key=lambda row: (row["b_owner"], row["b_volume"]),
    what="record that a volume could not be measured",
)
_FORGET: Final[Write[dict[str, Any], None]] = Write(
    apply=_forget, key=lambda row: (row["b_owner"], row["b_volume"]), what="forget a measure"
)
