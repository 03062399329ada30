"""
Volumes: the extra volumes of owners, by the owner's key.

The store is where a volume's key becomes the name of a PersistentVolumeClaim, so that a request
can never name a claim itself. A claim belongs to one volume only; offering it to a second is
refused, for two owners would share their data. Source: design §§4, 5 and 9; F44.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, select

from eugospawner.policy.errors import StoreError
from eugospawner.policy.volumes import Volume
from eugospawner.store.statements import InsertNew
from eugospawner.store.tables import VolumeRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer


class Volumes:
    """The volumes in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def of_owner(self, owner: str) -> Mapping[str, Volume]:
        """Return the volumes of *owner* by key, in the order of keys."""
        return await self._database.look(
            "read the volumes of an owner", lambda connection: read_volumes(connection, owner)
        )

    async def add(
        self, owner: str, volume: Volume, *, at: datetime, most_bytes: int | None = None
    ) -> bool:
        """
        Record a volume of *owner*; one that exists stays as it is, its size included.

        Args:
            most_bytes: What the owner's volumes may have together after a new one; `None`: any.

        Returns:
            Whether it is there; `False`: there is no room for it.

        Raises:
            StoreError: It was not recorded; or the claim belongs to another volume, or the
                volume to another claim.
        """
        row = {
            "owner": owner,
            "key": volume.key,
            "claim_name": volume.claim_name,
            "size_bytes": volume.size_bytes,
            "created_at": at,
        }
        storable({"most_bytes": most_bytes})
        return await self._writer.write(_ADD, _Adding(row=storable(row), most_bytes=most_bytes))


def read_volumes(connection: Connection, owner: str) -> Mapping[str, Volume]:
    """Return the volumes of *owner* by key, in the order of keys."""
    rows = connection.execute(_OF_OWNER, storable({"owner": owner})).mappings()
    return {row["key"]: Volume(**row) for row in rows}


@dataclass(frozen=True, slots=True)
class _Adding:
    row: dict[str, Any]
    most_bytes: int | None


def _add(connection: Connection, addings: Sequence[_Adding]) -> Sequence[StoreError | bool]:
    fitting = _fitting(connection, addings)
    kept = _insert(connection, [each.row for each in fitting]) if fitting else {}
    return [kept.get((each.row["owner"], each.row["key"]), False) for each in addings]


def _fitting(connection: Connection, addings: Sequence[_Adding]) -> list[_Adding]:
    """Return those for which there is room, one after the other."""
    limited = {each.row["owner"] for each in addings if each.most_bytes is not None}
    held: dict[str, dict[str, int]] = {owner: {} for owner in limited}
    if limited:
        for owner, key, size in connection.execute(_OF_OWNERS, {"owners": list(limited)}):
            held[owner][key] = size
    fitting = []
    for each in addings:
        sizes, key = held.get(each.row["owner"], {}), each.row["key"]
        if (
            each.most_bytes is None
            or key in sizes
            or (sum(sizes.values()) + each.row["size_bytes"] <= each.most_bytes)
        ):
            sizes.setdefault(key, each.row["size_bytes"])
            fitting.append(each)
    return fitting


def _insert(
    connection: Connection, rows: Sequence[dict[str, Any]]
) -> dict[tuple[str, str], StoreError | bool]:
    _INSERT.execute(connection, rows)
    claims = {"claim_names": [row["claim_name"] for row in rows]}
    kept = {tuple(row) for row in connection.execute(_OF_CLAIMS, claims)}
    return {
        (row["owner"], row["key"]): (row["owner"], row["key"], row["claim_name"]) in kept
        or _conflict(row)
        for row in rows
    }


def _conflict(row: dict[str, object]) -> StoreError:
    return StoreError(
        f"The volume {row['key']!r} of {row['owner']!r} cannot have the claim "
        f"{row['claim_name']!r}: the claim belongs to another volume, or the volume to another "
        "claim. Name the claim after owner and key"
    )


_TABLE: Final = table_of(VolumeRow)
_COLUMN: Final = _TABLE.c
_INSERT: Final = InsertNew(_TABLE)
_OF_CLAIMS: Final = select(_COLUMN.owner, _COLUMN.key, _COLUMN.claim_name).where(
    _COLUMN.claim_name.in_(bindparam("claim_names", expanding=True))
)
_OF_OWNER: Final = (
    select(_COLUMN.key, _COLUMN.claim_name, _COLUMN.size_bytes)
    .where(_COLUMN.owner == bindparam("owner"))
    .order_by(_COLUMN.key)
)
_OF_OWNERS: Final = select(_COLUMN.owner, _COLUMN.key, _COLUMN.size_bytes).where(
    _COLUMN.owner.in_(bindparam("owners", expanding=True))
)
_ADD: Final[Write[_Adding, bool]] = Write(
    apply=_add, key=lambda each: (each.row["owner"], each.row["key"]), what="add a volume"
)
