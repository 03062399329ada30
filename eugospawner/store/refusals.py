"""
Refusals: requests that were refused, to try a changed plan on (L11).

No audit and no evidence: they are kept for some weeks, and a request whose words are too many is
kept without them. Recording one must never change the answer, so whoever does it goes on if the
store does not answer. Source: features L11.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, delete, select

from eugospawner.store.statements import InsertMany
from eugospawner.store.tables import RefusalRow, table_of
from eugospawner.store.types import LONGEST_TEXT, storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer

#: The longest words of an honest request have some hundred characters.
LARGEST_OPTIONS: Final = 8192
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


class Refusals:
    """The refusals in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._minute: tuple[datetime, Counter[str]] | None = None

    async def add(self, refused: Refused) -> None:
        """
        Record a refusal, unless the owner had too many this minute: those say nothing new.

        Raises:
            StoreError: It was not recorded.
        """
        if not self._is_news(refused):
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
        await self._writer.write(_ADD, {**row, "options": text_of(refused.options)})

    def _is_news(self, refused: Refused) -> bool:
        minute = refused.at.replace(second=0, microsecond=0)
        if self._minute is None or self._minute[0] != minute:
            self._minute = minute, Counter()
        self._minute[1][refused.owner] += 1
        return self._minute[1][refused.owner] <= MOST_A_MINUTE

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


def _add(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    _INSERT.execute(connection, rows)
    return [None] * len(rows)


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
_ADD: Final[Write[dict[str, Any], None]] = Write(apply=_add, key=id, what="record a refusal")
_FORGET: Final[Write[dict[str, Any], int]] = Write(
    apply=_forget, key=lambda row: row["before"], what="forget refusals"
)
