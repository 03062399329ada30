"""
What may stand in a column: one type for points in time, and bounds that both databases share.

Times are aware going in and aware UTC coming out; a naive one is a mistake that no database would
notice. SQLite keeps NUL characters and endless text where PostgreSQL answers with an error, so
`storable` looks at every value at the door: what holds on SQLite holds on PostgreSQL, and one
caller's impossible value does not reach a transaction shared with others.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import DateTime
from sqlalchemy.types import TypeDecorator

from eugospawner.policy.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Dialect

#: Twice the longest image reference; an indexed value of PostgreSQL must stay below 2700 bytes.
LONGEST_TEXT: Final = 512
_INT64: Final = range(-(2**63), 2**63)


class UtcTime(TypeDecorator[datetime]):
    """
    A point in time with microseconds: aware in, aware UTC out, naive values rejected.

    PostgreSQL has a type for it. SQLite has none: there the time stands as UTC text of fixed
    width, which sorts and compares as the times do.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return *value* as the database keeps it."""
        if value is None:
            return None
        if value.utcoffset() is None:
            message = f"the time {value.isoformat()} is naive: give it a zone"
            raise ValueError(message)
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time that was kept, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def storable(values: Mapping[str, object]) -> dict[str, object]:
    """
    Return *values*, by column, in the form in which either database can hold them.

    Raises:
        StoreError: One cannot be held; the message names the column and the remedy.
    """
    return {name: _storable(name, value) for name, value in values.items()}


def _storable(name: str, value: object) -> object:
    problem = None
    if isinstance(value, str):
        problem = _problem_of_text(value)
    elif isinstance(value, datetime):
        if value.utcoffset() is None:
            problem = "is a naive time: give it a zone"
        else:
            try:
                return value.astimezone(UTC)
            except OverflowError:
                problem = "lies outside the years 1 to 9999 in UTC"
    elif isinstance(value, int) and value not in _INT64:
        problem = "does not fit into 64 bits"
    if problem is not None:
        message = f"{name} cannot be stored: it {problem}"
        raise StoreError(message)
    return value


def _problem_of_text(text: str) -> str | None:
    if len(text) > LONGEST_TEXT:
        return f"is longer than {LONGEST_TEXT} characters"
    if "\0" in text:
        return "holds a NUL character"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "holds half of a surrogate pair: it is no Unicode text"
    return None
