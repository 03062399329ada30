"""
Volumes: the extra volumes of people and projects, by their holder's key, and how much room they take.

The store is where a volume's key becomes the name of a PersistentVolumeClaim, so that a request
can never name a claim itself. A claim belongs to one volume only; offering it to a second is
refused, for two owners would share their data. Whether there is room for a new one is decided by
the transaction that adds it, one after the other (promise 2). Source: design §§4, 5 and 9; F44.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, delete, func, select

from eugospawner.policy.errors import StoreError
from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.policy.storage import exceeded
from eugospawner.policy.volumes import Volume, project_of, reference_to
from eugospawner.store.statements import InsertNew
from eugospawner.store.tables import VolumeRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from eugospawner.policy.storage import StorageLimit
    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer


class Volumes:
    """The volumes in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def of_owner(self, owner: str) -> Mapping[str, Volume]:
        """Return the volumes of *owner*, a person or `policy.volumes.holder_of` a project, by key, in the order of keys."""
        found = await self._database.look(
            "read the volumes of an owner", lambda connection: read_volumes(connection, (owner,))
        )
        return {each.key: each for each in found.values()}

    async def held(self, subjects: Iterable[Subject]) -> Mapping[Subject, int]:
        """Return how many bytes the volumes of each of *subjects* have; without those that have none."""
        return await self._database.look(
            "read what volumes have", lambda connection: read_held(connection, subjects)
        )

    async def payers_of(self, owner: str, key: str) -> tuple[Subject, ...]:
        """Return for whom a volume of *owner* counts; empty: there is none."""
        rows = await self._database.read(
            "read a volume", _PAYERS_OF, storable({"owner": owner, "key": key})
        )
        return tuple(
            Subject(kind, row[name])
            for row in rows
            for kind, name in _PAYERS.items()
            if row[name] is not None
            and not (kind is SubjectKind.USER and project_of(row[name]) is not None)
        )

    async def add(
        self,
        owner: str,
        volume: Volume,
        *,
        payers: Sequence[Subject],
        limits: Sequence[StorageLimit] = (),
        at: datetime,
    ) -> bool:
        """
        Record a volume of *owner*; one that exists stays as it is, its size included.

        Args:
            payers: For whom it counts: its owner and project, and the group and the organization
                behind the project, as `policy.limits.payers_of` returns them, or `payers_for` of a project's.
            limits: What leaves room for a new one.

        Returns:
            Whether it is there; `False`: there is no room for it.

        Raises:
            StoreError: It was not recorded; or the claim belongs to another volume, or the
                volume to another claim.
        """
        row = {
            **dict.fromkeys(_PAYERS.values()),
            **{_PAYERS[each.kind]: each.key for each in payers},
            "owner": owner,
            "key": volume.key,
            "claim_name": volume.claim_name,
            "size_bytes": volume.size_bytes,
            "created_at": at,
        }
        return await self._writer.write(_ADD, _Adding(row=storable(row), limits=tuple(limits)))

    async def remove(self, owner: str, key: str) -> bool:
        """
        Forget a volume of *owner* that is no more; return whether there was one.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"b_owner": owner, "b_key": key})
        return await self._writer.write(_REMOVE, row)


def read_volumes(connection: Connection, holders: Iterable[str]) -> Mapping[str, Volume]:
    """Return the volumes of *holders*, one person and projects, as requests of that person name them, in the order of keys."""
    wanted = {"owners": [storable({"owner": each})["owner"] for each in holders]}
    return {
        reference_to(owner, key): Volume(key=key, claim_name=claim_name, size_bytes=size_bytes)
        for owner, key, claim_name, size_bytes in connection.execute(_OF_OWNERS, wanted)
    }


def read_held(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, int]:
    """Return how many bytes the volumes of each of *subjects* have; without those that have none."""
    held = {}
    by_kind: dict[SubjectKind, list[str]] = {}
    for subject in subjects:
        if subject.kind in _PAYERS:
            by_kind.setdefault(subject.kind, []).append(subject.key)
    for kind, keys in by_kind.items():
        for key, size in connection.execute(_HELD[kind], {"keys": keys}):
            held[Subject(kind, key)] = int(size)
    return held


@dataclass(frozen=True, slots=True)
class _Adding:
    row: dict[str, Any]
    limits: tuple[StorageLimit, ...]

    @property
    def place(self) -> tuple[str, str]:
        """Owner and key."""
        return self.row["owner"], self.row["key"]

    @property
    def payers(self) -> list[Subject]:
        """For whom it counts."""
        return [
            Subject(kind, self.row[column])
            for kind, column in _PAYERS.items()
            if self.row[column] is not None
        ]


def _add(connection: Connection, addings: Sequence[_Adding]) -> Sequence[StoreError | bool]:
    fitting = _fitting(connection, addings)
    kept = _insert(connection, [each.row for each in fitting]) if fitting else {}
    return [kept.get(each.place, False) for each in addings]


def _fitting(connection: Connection, addings: Sequence[_Adding]) -> list[_Adding]:
    """Return those for which there is room, one after the other."""
    owners = {"owners": list({each.row["owner"] for each in addings})}
    there = {tuple(row) for row in connection.execute(_PLACES, owners)}
    held = read_held(connection, {limit.subject for each in addings for limit in each.limits})
    fitting = []
    for each in addings:
        if each.place not in there:
            size = each.row["size_bytes"]
            if exceeded(each.limits, held, size):
                continue
            there.add(each.place)
            for payer in each.payers:
                held[payer] = held.get(payer, 0) + size
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


def _remove(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[bool]:
    return [connection.execute(_DELETE, row).rowcount > 0 for row in rows]


_TABLE: Final = table_of(VolumeRow)
_COLUMN: Final = _TABLE.c
_INSERT: Final = InsertNew(_TABLE)
_OF_CLAIMS: Final = select(_COLUMN.owner, _COLUMN.key, _COLUMN.claim_name).where(
    _COLUMN.claim_name.in_(bindparam("claim_names", expanding=True))
)
_OF_OWNERS: Final = (
    select(_COLUMN.owner, _COLUMN.key, _COLUMN.claim_name, _COLUMN.size_bytes)
    .where(_COLUMN.owner.in_(bindparam("owners", expanding=True)))
    .order_by(_COLUMN.key, _COLUMN.owner)
)
_PLACES: Final = select(_COLUMN.owner, _COLUMN.key).where(
    _COLUMN.owner.in_(bindparam("owners", expanding=True))
)
#: For whom a volume counts, and where that stands.
_PAYERS: Final = {
    SubjectKind.USER: "owner",
    SubjectKind.PROJECT: "project",
    SubjectKind.GROUP: "group_key",
    SubjectKind.ORGANIZATION: "organization",
}
_PAYERS_OF: Final = select(*(_COLUMN[name] for name in _PAYERS.values())).where(
    _COLUMN.owner == bindparam("owner"), _COLUMN.key == bindparam("key")
)
_HELD: Final = {
    kind: select(_COLUMN[name], func.sum(_COLUMN.size_bytes))
    .where(_COLUMN[name].in_(bindparam("keys", expanding=True)))
    .group_by(_COLUMN[name])
    for kind, name in _PAYERS.items()
}
_DELETE: Final = delete(_TABLE).where(
    _TABLE.c.owner == bindparam("b_owner"), _TABLE.c.key == bindparam("b_key")
)
_REMOVE: Final[Write[dict[str, Any], bool]] = Write(
    apply=_remove, key=lambda row: (row["b_owner"], row["b_key"]), what="forget a volume"
)
_ADD: Final[Write[_Adding, bool]] = Write(
    apply=_add, key=lambda each: each.place, what="add a volume"
)
