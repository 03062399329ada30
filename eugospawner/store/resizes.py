"""
Resizes: volumes that are to be larger, from the wish until Kubernetes has been told.

An extra volume counts with its new size from the wish on, so whether there is room is decided by the transaction that
records it (promise 2). Whoever tells Kubernetes may die over it: the next finds it here. What Kubernetes refuses goes
back to the size it had. Each step is written with its audit line. Source: F83.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, select, update

from eugospawner.policy.storage import exceeded
from eugospawner.policy.volumes import HOME
from eugospawner.store import audit
from eugospawner.store.statements import InsertNew
from eugospawner.store.tables import ResizeRow, VolumeRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.volumes import read_held
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from eugospawner.policy.storage import StorageLimit
    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """
    A volume that is to be larger.

    Attributes:
        volume: Its key among the owner's; `measures.HOME` for the home.
        size_bytes: What it is to have, more than *former_bytes*.
        actor: Who wants it.
        at: Aware UTC.
    """

    owner: str
    volume: str
    size_bytes: int
    former_bytes: int
    actor: str
    at: datetime


class Resizes:
    """The resizes in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def wished(self) -> tuple[Resize, ...]:
        """Return those that Kubernetes has not been told of, the oldest first."""
        rows = await self._database.read("read which volumes are to be larger", _WISHED)
        return tuple(Resize(**row) for row in rows)

    async def wish(
        self, resize: Resize, *, limits: Sequence[StorageLimit] = ()
    ) -> tuple[StorageLimit, ...] | None:
        """
        Record that a volume is to be larger, if there is room; an earlier wish for it is replaced.

        Args:
            limits: What leaves room for an extra volume.

        Returns:
            The limits that leave none; empty: it is recorded. `None`: the volume is another one by now, or of another size.

        Raises:
            StoreError: It was not recorded.
        """
        row = {name: getattr(resize, name) for name in _COLUMNS}
        return await self._writer.write(_WISH, _Wish(storable(row), tuple(limits)))

    async def told(self, resize: Resize) -> None:
        """
        Record that Kubernetes knows.

        Raises:
            StoreError: It was not recorded.
        """
        await self._writer.write(_TOLD, _this(resize))

    async def refused(self, resize: Resize, reason: str, *, at: datetime) -> None:
        """
        Record that Kubernetes refused: the volume has the size that it had.

        Args:
            reason: Machine reason.

        Raises:
            StoreError: It was not recorded.
        """
        row = {**_this(resize), "reason": reason, "at": at}
        await self._writer.write(_REFUSED, storable(row))


def object_of(owner: str, volume: str) -> str:
    """Return what the audit calls the volume."""
    return f"volume.{owner}/{volume or '~'}"


def _this(resize: Resize) -> dict[str, Any]:
    return storable(
        {"b_owner": resize.owner, "b_volume": resize.volume, "b_size": resize.size_bytes}
    )


@dataclass(frozen=True, slots=True)
class _Wish:
    row: dict[str, Any]
    limits: tuple[StorageLimit, ...]


def _wish(
    connection: Connection, wishes: Sequence[_Wish]
) -> Sequence[tuple[StorageLimit, ...] | None]:
    return [_wish_one(connection, each.row, each.limits) for each in wishes]


def _wish_one(
    connection: Connection, row: dict[str, Any], limits: tuple[StorageLimit, ...]
) -> tuple[StorageLimit, ...] | None:
    owner, volume = row["owner"], row["volume"]
    kept = dict(row)
    if volume != HOME:
        values = {"b_owner": owner, "b_key": volume}
        size = connection.execute(_SIZE, values).scalar_one_or_none()
        if size is None or size > row["size_bytes"]:
            return None
        growth = row["size_bytes"] - size
        held = read_held(connection, {each.subject for each in limits})
        if growth and (full := exceeded(limits, held, growth)):
            return full
        connection.execute(_SET_SIZE, {**values, "b_size": row["size_bytes"]})
        if growth:
            # What it counts with, whatever room its disk happens to have.
            kept["former_bytes"] = size
    earlier = connection.execute(
        _DELETE_ANY.returning(_COLUMN.former_bytes), {"b_owner": owner, "b_volume": volume}
    ).scalar_one_or_none()
    if earlier is not None:
        kept["former_bytes"] = earlier
    _INSERT.execute(connection, [kept])
    line = audit.line_of(
        "resize-volume",
        object_of(owner, volume),
        actor=row["actor"],
        at=row["at"],
        detail={"from": kept["former_bytes"], "to": kept["size_bytes"]},
    )
    audit.append(connection, [line])
    return ()


def _told(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    for row in rows:
        connection.execute(_DELETE, row)
    return [None] * len(rows)


def _refused(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    for row in rows:
        _refused_one(connection, row)
    return [None] * len(rows)


def _refused_one(connection: Connection, row: dict[str, Any]) -> None:
    keys = {name: row[name] for name in ("b_owner", "b_volume", "b_size")}
    found = connection.execute(_DELETE.returning(_TABLE), keys).mappings().one_or_none()
    if found is None:
        return  # somebody else was told, too, or there is a newer wish
    if found["volume"] != HOME:
        size = {"b_owner": found["owner"], "b_key": found["volume"]}
        connection.execute(_SET_SIZE, {**size, "b_size": found["former_bytes"]})
    line = audit.line_of(
        "resize-refused",
        object_of(found["owner"], found["volume"]),
        actor=found["actor"],
        at=row["at"],
        reason=row["reason"],
        detail={"from": found["former_bytes"], "to": found["size_bytes"]},
    )
    audit.append(connection, [line])


_TABLE: Final = table_of(ResizeRow)
_COLUMN: Final = _TABLE.c
_COLUMNS: Final = tuple(column.name for column in _TABLE.columns)
_VOLUMES: Final = table_of(VolumeRow)
_INSERT: Final = InsertNew(_TABLE)
_WISHED: Final = select(_TABLE).order_by(_COLUMN.at, _COLUMN.owner, _COLUMN.volume)
_THIS: Final = and_(_COLUMN.owner == bindparam("b_owner"), _COLUMN.volume == bindparam("b_volume"))
_DELETE_ANY: Final = delete(_TABLE).where(_THIS)
_DELETE: Final = delete(_TABLE).where(_THIS, _COLUMN.size_bytes == bindparam("b_size"))
_IS_VOLUME: Final = and_(
    _VOLUMES.c.owner == bindparam("b_owner"), _VOLUMES.c.key == bindparam("b_key")
)
_SIZE: Final = select(_VOLUMES.c.size_bytes).where(_IS_VOLUME)
_SET_SIZE: Final = update(_VOLUMES).where(_IS_VOLUME).values(size_bytes=bindparam("b_size"))
_WISH: Final[Write[_Wish, tuple[StorageLimit, ...] | None]] = Write(
    apply=_wish,
    key=lambda each: (each.row["owner"], each.row["volume"]),
    what="record that a volume is to be larger",
)
_TOLD: Final[Write[dict[str, Any], None]] = Write(
    apply=_told,
    key=lambda row: (row["b_owner"], row["b_volume"]),
    what="record that a volume is larger",
)
_REFUSED: Final[Write[dict[str, Any], None]] = Write(
    apply=_refused,
    key=lambda row: (row["b_owner"], row["b_volume"]),
    what="record that a volume is not larger",
)
