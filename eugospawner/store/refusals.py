"""
Refusals: requests that were refused, as lines of the audit, and to try a changed plan on.

The audit has each for good: who, what, why. Its words are kept beside for some weeks (L11); a request
whose words are too many is kept without them. Of an owner who has a program ask by the thousand the
first of a minute are lines of their own, and the rest one line that counts them, with the first
refusal after that minute or when the process ends. Recording one must never change the answer, so
whoever does it goes on if the store does not answer. Source: F115, L11; promise 8.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, delete, select

from eugospawner.store import audit
from eugospawner.store.statements import InsertMany
from eugospawner.store.tables import RefusalRow, table_of
from eugospawner.store.types import LONGEST_TEXT, storable
from eugospawner.store.workspaces import object_of
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer

#: The longest words of an honest request have some hundred characters.
LARGEST_OPTIONS: Final = 8192
#: The audit's word for it.
REFUSE: Final = "refuse"
_TELLING: Final = frozenset(
    {
        "profile",
        "flavor",
        "project",
        "queue",
        "kind",
        "image",
        "gpu_model",
        "gpu_count",
        "sm_percent",
    }
)
#: Of one owner and process; people try a few times, programs by the thousand.
MOST_A_MINUTE: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """
    A request that was refused.

    Attributes:
        at: Aware UTC.
        options: JSON words, without the name; `None`: too many to keep, or no words at all.
    """

    at: datetime
    owner: str
    workspace: str
    actor: str
    reason: str
    options: Mapping[str, Any] | None


@dataclass(slots=True)
class _Rest:
    """What of an owner's refusals within a minute has no line of its own: how many, and the last."""

    last: Refused
    times: int = 0


class Refusals:
    """The refusals in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._minute: datetime | None = None
        self._asked: Counter[str] = Counter()
        self._rest: dict[str, _Rest] = {}
        self._owed: list[dict[str, Any]] = []

    async def add(self, refused: Refused) -> None:
        """
        Record a refusal; of an owner who has had too many this minute it is only counted.

        Raises:
            StoreError: It was not recorded.
        """
        minute = refused.at.replace(second=0, microsecond=0)
        if minute != self._minute:
            self._count_up()
            self._minute = minute
        self._asked[refused.owner] += 1
        if self._asked[refused.owner] > MOST_A_MINUTE:
            rest = self._rest.setdefault(refused.owner, _Rest(refused))
            rest.last, rest.times = refused, rest.times + 1
            return
        row = storable(
            {
                "at": refused.at,
                "owner": refused.owner[:LONGEST_TEXT],
                "workspace": refused.workspace[:LONGEST_TEXT],
                "actor": refused.actor[:LONGEST_TEXT],
                "reason": refused.reason,
            }
        )
        text = text_of(refused.options)
        asked = {} if text is None else _asked_for(refused.options or {})
        await self._write({**row, "options": text}, _line(refused, {"asked": asked}))

    async def flush(self) -> None:
        """
        Record what was only counted.

        Raises:
            StoreError: It was not recorded.
        """
        self._count_up()
        if self._owed:
            await self._write(None)

    async def _write(self, row: dict[str, Any] | None, *lines: dict[str, Any]) -> None:
        owed, self._owed = self._owed, []
        try:
            await self._writer.write(_ADD, _Addition(row, (*owed, *lines)))
        except BaseException:
            self._owed = [*owed, *self._owed]
            raise

    def _count_up(self) -> None:
        """Make a line of what each owner had too many, and begin anew."""
        self._owed += [_line(rest.last, {"times": rest.times}) for rest in self._rest.values()]
        self._asked.clear()
        self._rest.clear()

    async def since(self, at: datetime, *, limit: int) -> tuple[Refused, ...]:
        """Return what was refused from *at* on, oldest first; of more than *limit* the newest."""
        values = storable({"at": at, "limit": limit})
        rows = await self._database.read("read the refusals", _SINCE, values)
        return tuple(
            Refused(
                **{**row, "options": None if row["options"] is None else json.loads(row["options"])}
            )
            for row in reversed(rows)
        )

    async def forget(self, before: datetime) -> int:
        """Forget what was refused before *before*; return how many were."""
        return await self._writer.write(_FORGET, storable({"before": before}))


def text_of(options: Mapping[str, Any] | None) -> str | None:
    """Return the JSON of a request's words without the name; `None`: it cannot be kept."""
    if options is None:
        return None
    try:
        text = json.dumps(
            {word: value for word, value in options.items() if word != "name"},
            sort_keys=True,
            allow_nan=False,
        )
    except (TypeError, ValueError, RecursionError):
        return None
    return text if len(text) <= LARGEST_OPTIONS else None


def _line(refused: Refused, detail: Mapping[str, Any]) -> dict[str, Any]:
    what = object_of(refused.owner, refused.workspace)
    return audit.line_of(
        REFUSE, what[:LONGEST_TEXT], actor=refused.actor[:LONGEST_TEXT], at=refused.at,
        reason=refused.reason, detail=detail,
    )  # fmt: skip


def _asked_for(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the words that say what was asked for; the rest is kept for some weeks only."""
    return {
        word: value
        for word, value in options.items()
        if word in _TELLING
        and (isinstance(value, int) or (isinstance(value, str) and len(value) <= LONGEST_TEXT))
    }


@dataclass(frozen=True, slots=True)
class _Addition:
    """A row to be kept for some weeks, if any, and lines of the audit."""

    row: dict[str, Any] | None
    lines: tuple[dict[str, Any], ...]


def _add(connection: Connection, additions: Sequence[_Addition]) -> Sequence[None]:
    rows = [each.row for each in additions if each.row is not None]
    if rows:
        _INSERT.execute(connection, rows)
    audit.append(connection, [line for each in additions for line in each.lines])
    return [None] * len(additions)


def _forget(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[int]:
    return [int(connection.execute(_DELETE, row).rowcount) for row in rows]


_TABLE: Final = table_of(RefusalRow)
_INSERT: Final = InsertMany(_TABLE, [each.name for each in _TABLE.columns if each.name != "id"])
_SINCE: Final = (
    select(*(each for each in _TABLE.columns if each.name != "id"))
    .where(_TABLE.c.at >= bindparam("at"))
    .order_by(_TABLE.c.at.desc(), _TABLE.c.id.desc())
    .limit(bindparam("limit"))
)
_DELETE: Final = delete(_TABLE).where(_TABLE.c.at < bindparam("before"))
#: Two refusals are never the same: each argument is a thing of its own.
_ADD: Final[Write[_Addition, None]] = Write(apply=_add, key=id, what="record a refusal")
_FORGET: Final[Write[dict[str, Any], int]] = Write(
    apply=_forget, key=lambda row: row["before"], what="forget refusals"
)
