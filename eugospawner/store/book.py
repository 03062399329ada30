"""
The book of one transaction: usage as it stands, what is moved in it, and the ledger's entries.

A session's amounts stand reserved from its admission to its deadline. Binding corrects them to
what was granted, settling turns the past from reserved into settled, releasing lets the rest go.
Every movement is an entry of the append-only ledger and changes the sums of `usage` in the same
transaction, so the sums are the ledger's at any moment; what is held at once is kept beside them.
Times count in whole milliseconds. Source: design §§2 (promise 2) and 4; L1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import Text, any_, bindparam, column, func, select, union_all
from sqlalchemy.dialects import postgresql

from eugospawner.policy.quota import (
    NOTHING,
    UNUSED,
    Amounts,
    Cell,
    Span,
    Subject,
    SubjectKind,
    Tally,
    Usage,
    Used,
    mib,
    month_of,
    shares,
)
from eugospawner.store.statements import InsertMany, Prepared, Put
from eugospawner.store.tables import LedgerRow, UsageRow, table_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, RowMapping, SelectBase

#: Kinds of entries.
RESERVE: Final = "reserve"
BIND: Final = "bind"
SETTLE: Final = "settle"
RELEASE: Final = "release"

_FIRST: Final = timedelta(days=1)
#: SQLite takes some thousand values in a statement, PostgreSQL 32,767.
_MOST_NAMES: Final = 500
ALL_SPANS: Final = frozenset(Span)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """On whose account a session runs, *queue* being among them, and what it takes per millisecond."""

    session: str
    queue: str
    subjects: tuple[Subject, ...]
    gpu_model: str
    rates: Amounts
    zone: str


def account_of(row: RowMapping | Mapping[str, Any]) -> Account:
    """Return the account of a session's *row*, at the share granted if it is bound."""
    granted = row["granted_percent"]
    subjects = [
        Subject(SubjectKind.USER, row["owner"]),
        Subject(SubjectKind.PROJECT, row["project"]),
        Subject(SubjectKind.QUEUE, row["queue"]),
    ]
    if row["group_key"] is not None:
        subjects.append(Subject(SubjectKind.GROUP, row["group_key"]))
    if row["organization"] is not None:
        subjects.append(Subject(SubjectKind.ORGANIZATION, row["organization"]))
    return Account(
        session=row["id"],
        queue=row["queue"],
        subjects=tuple(subjects),
        gpu_model=row["gpu_model"] or "",
        rates=Amounts(
            gpu=row["requested_percent"] if granted is None else granted,
            cpu=row["cpu_millicores"],
            memory=mib(row["memory_bytes"]),
        ),
        zone=row["zone"],
    )


class Book:
    """
    Usage of some subjects, in one transaction.

    Args:
        subjects: Whose usage is read or changed.
        since: Nothing earlier than the day before this is read or changed.
        at: When it is written, UTC.
    """

    def __init__(
        self, connection: Connection, subjects: Iterable[Subject], *, since: datetime, at: datetime
    ) -> None:
        self._connection = connection
        self._at = at
        self._entries: list[dict[str, object]] = []
        self._changed: dict[Cell, None] = {}
        self._found: dict[object, tuple[Tally, ...]] = {}
        self.usage = read_usage(connection, subjects, since=since)

    def take(self, account: Account) -> None:
        """Hold the rates of *account* at once."""
        self._hold(account, account.rates)

    def let_go(self, account: Account) -> None:
        """Hold the rates of *account* no longer."""
        self._hold(account, NOTHING.minus(account.rates))

    def reserve(
        self, account: Account, start: datetime, end: datetime, *, kind: str = RESERVE
    ) -> None:
        """Reserve what *account* takes in [start, end)."""
        for day, amounts in shares(account.rates, account.zone, start, end):
            self._move(account, kind, day, NOTHING, amounts)

    def release(
        self, account: Account, start: datetime, end: datetime, *, kind: str = RELEASE
    ) -> None:
        """Let go what *account* has reserved for [start, end)."""
        for day, amounts in shares(account.rates, account.zone, start, end):
            self._move(account, kind, day, NOTHING, NOTHING.minus(amounts))

    def settle(self, account: Account, start: datetime, end: datetime) -> None:
        """Turn what *account* has reserved for [start, end) into what it has used."""
        for day, amounts in shares(account.rates, account.zone, start, end):
            self._move(account, SETTLE, day, amounts, NOTHING.minus(amounts))

    def leave_out(self, account: Account, start: datetime, end: datetime) -> None:
        """Count what *account* has reserved for [start, end) no longer, until it is `count`ed."""
        self._count(account, start, end, sign=-1)

    def count(self, account: Account, start: datetime, end: datetime) -> None:
        """Count again what was left out."""
        self._count(account, start, end, sign=1)

    def write(self) -> None:
        """Write what was moved."""
        if self._entries:
            _ENTER.execute(self._connection, self._entries)
        if self._changed:
            _PUT.execute(
                self._connection, [_row(cell, self.usage.used(cell)) for cell in self._changed]
            )

    def _hold(self, account: Account, rates: Amounts) -> None:
        self._add(self._tallies(account, ((Span.AT_ONCE, ""),)), NOTHING, rates)

    def _count(self, account: Account, start: datetime, end: datetime, *, sign: int) -> None:
        for day, amounts in shares(account.rates, account.zone, start, end):
            periods = ((Span.DAY, day), (Span.MONTH, month_of(day)))
            self._add(self._tallies(account, periods), NOTHING, amounts.times(sign))

    def _move(
        self, account: Account, kind: str, day: str, settled: Amounts, reserved: Amounts
    ) -> None:
        periods = ((Span.DAY, day), (Span.MONTH, month_of(day)))
        self._add(self._tallies(account, periods), settled, reserved)
        self._entries.append(
            {
                "session_id": account.session,
                "kind": kind,
                "day": day,
                "recorded_at": self._at,
                "queue": account.queue,
                **_amounts("settled", settled),
                **_amounts("reserved", reserved),
            }
        )

    def _tallies(
        self, account: Account, periods: tuple[tuple[Span, str], ...]
    ) -> tuple[Tally, ...]:
        """Return what *account* counts against in *periods*; sessions of one owner share it."""
        key = (account.subjects, account.gpu_model, periods)
        if key not in self._found:
            cells = [
                Cell(subject, span, start, account.gpu_model)
                for subject in account.subjects
                for span, start in periods
            ]
            self._changed.update(dict.fromkeys(cells))
            self._found[key] = tuple(self.usage.tally(cell) for cell in cells)
        return self._found[key]

    @staticmethod
    def _add(tallies: tuple[Tally, ...], settled: Amounts, reserved: Amounts) -> None:
        amounts = (*settled, *reserved)
        moved = [(place, amount) for place, amount in enumerate(amounts) if amount]
        for tally in tallies:
            for place, amount in moved:
                tally[place] += amount


def read_usage(
    connection: Connection,
    subjects: Iterable[Subject],
    *,
    since: datetime,
    spans: frozenset[Span] = ALL_SPANS,
) -> Usage:
    """
    Return the usage of *subjects* at once and in all periods that end after *since*.

    Args:
        spans: Of these alone, at least one: a span costs as much as the read of a row.
    """
    # A day of any zone that holds `since` has a name no earlier than the day before it in UTC.
    first = (since - _FIRST).date().isoformat()
    by_name = {_name(subject): subject for subject in subjects}
    among: object = list(by_name)
    if connection.dialect.name == "sqlite":
        among = orjson.dumps(among).decode()
    values = {"subjects": among, "day": first, "month": month_of(first)}
    usage = Usage({})
    rows: Iterable[Any] = _read(spans).execute(connection, values).all()
    for name, span, start, gpu_model, *amounts in rows:
        usage.keep(by_name[name], _SPANS[span], start, gpu_model, amounts)
    return usage


def read_days(
    connection: Connection, subjects: Iterable[Subject], *, first_day: str, before: str
) -> dict[Cell, Used]:
    """
    Return what the days from *first_day* on and before *before* come to, as cells of their months.

    Args:
        first_day: ISO day; so is *before*, which is not included.
    """
    by_name = {_name(subject): subject for subject in subjects}
    names, found = list(by_name), dict[Cell, Used]()
    for first in range(0, len(names), _MOST_NAMES):
        values = {"names": names[first : first + _MOST_NAMES], "first": first_day, "last": before}
        for row in connection.execute(_DAYS, values).mappings():
            cell = Cell(
                by_name[row["subject"]], Span.MONTH, month_of(row["start"]), row["gpu_model"]
            )
            settled, reserved = found.get(cell, UNUSED)
            found[cell] = Used(
                settled.plus(Amounts(*(row[f"settled_{each}"] for each in Amounts._fields))),
                reserved.plus(Amounts(*(row[f"reserved_{each}"] for each in Amounts._fields))),
            )
    return found


def _name(subject: Subject) -> str:
    return subject.kind + ":" + subject.key


def _row(cell: Cell, used: Used) -> dict[str, object]:
    return {
        "subject": _name(cell.subject),
        "span": cell.span.value,
        "start": cell.start,
        "gpu_model": cell.gpu_model,
        **_amounts("settled", used.settled),
        **_amounts("reserved", used.reserved),
    }


def _amounts(prefix: str, amounts: Amounts) -> dict[str, object]:
    return {f"{prefix}_{name}": value for name, value in amounts._asdict().items()}


_USAGE: Final = table_of(UsageRow)
_COLUMN: Final = _USAGE.c
_PUT: Final = Put(_USAGE)
_LEDGER: Final = table_of(LedgerRow)
_ENTER: Final = InsertMany(_LEDGER, [each.name for each in _LEDGER.columns if each.name != "id"])
_SPANS: Final = {span.value: span for span in Span}
_ROWS: Final = select(
    _COLUMN.subject,
    _COLUMN.span,
    _COLUMN.start,
    _COLUMN.gpu_model,
    _COLUMN.settled_gpu,
    _COLUMN.settled_cpu,
    _COLUMN.settled_memory,
    _COLUMN.reserved_gpu,
    _COLUMN.reserved_cpu,
    _COLUMN.reserved_memory,
)


_DAYS: Final = _ROWS.where(
    _COLUMN.subject.in_(bindparam("names", expanding=True)),
    _COLUMN.span == Span.DAY.value,
    _COLUMN.start >= bindparam("first"),
    _COLUMN.start < bindparam("last"),
)


def _of(among: ColumnElement[bool], spans: frozenset[Span]) -> SelectBase:
    """Return the read, span by span: one condition with OR would look at all that ever was."""
    parts = []
    for span in Span:
        if span in spans:
            part = _ROWS.where(among, _COLUMN.span == span.value)
            if span is not Span.AT_ONCE:
                part = part.where(_COLUMN.start >= bindparam(span.value, type_=Text))
            parts.append(part)
    return parts[0] if len(parts) == 1 else union_all(*parts)


_AMONG: Final = func.json_each(bindparam("subjects", type_=Text)).table_valued(
    column("value", Text), name="among"
)


@cache
def _read(spans: frozenset[Span]) -> Prepared:
    """Return the read; the subjects are one value, for a list is spelled out at each execution."""
    many = any_(bindparam("subjects", type_=postgresql.ARRAY(Text)))
    return Prepared(
        {
            "sqlite": _of(_COLUMN.subject == _AMONG.c.value, spans),
            "postgresql": _of(_COLUMN.subject == many, spans),
        }
    )
