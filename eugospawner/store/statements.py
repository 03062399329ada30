"""
Statements that every start runs, made ready once.

SQLAlchemy looks a statement up and prepares for any kind of result at each execution, which costs
more than SQLite's own work. Here a statement is compiled once for each database; afterwards its text
and values go to the driver. A third of the CPU of opening a session went with it (measured).
Values are converted by the column's type as ever; results come as the driver has them, so whoever
reads takes text and whole numbers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sqlalchemy import and_, bindparam, func, insert, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import ClauseElement, ColumnElement, Connection, CursorResult, Table
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.compiler import SQLCompiler


class _Parameter(NamedTuple):
    name: str
    convert: Callable[[Any], Any] | None


class _Compiled(NamedTuple):
    text: str
    parameters: tuple[_Parameter, ...]
    constants: Mapping[str, object]


class Prepared:
    """
    A statement that is compiled once for each database.

    Args:
        statement: For every database, or one for each by the name of its dialect.
        columns: Those that an INSERT sets; `None`: all, or it is none.
    """

    def __init__(
        self,
        statement: ClauseElement | Mapping[str, ClauseElement],
        columns: Sequence[str] | None = None,
    ) -> None:
        self._statement = statement
        self._columns = None if columns is None else list(columns)
        self._compiled: dict[str, _Compiled] = {}

    def execute(
        self, connection: Connection, values: Mapping[str, object] | None = None
    ) -> CursorResult[Any]:
        """Run it with *values* by name; what it gives is not converted."""
        compiled = self._for(connection.dialect)
        return connection.exec_driver_sql(compiled.text, _tuple(compiled, values or {}) or None)

    def execute_many(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Run it once for each of *rows*, in one call of the driver; it must give nothing."""
        compiled = self._for(connection.dialect)
        connection.exec_driver_sql(compiled.text, [_tuple(compiled, row) for row in rows])

    def _for(self, dialect: Dialect) -> _Compiled:
        found = self._compiled.get(dialect.name)
        if found is None:
            found = self._compiled[dialect.name] = self._compile(dialect)
        return found

    def _compile(self, dialect: Dialect) -> _Compiled:
        statement = self._statement
        if isinstance(statement, Mapping):
            statement = statement[dialect.name]
        compiled = cast(
            "SQLCompiler", statement.compile(dialect=dialect, column_keys=self._columns)
        )
        binds = compiled.binds
        return _Compiled(
            text=str(compiled),
            parameters=tuple(
                _Parameter(name, binds[name].type.dialect_impl(dialect).bind_processor(dialect))
                for name in compiled.positiontup or ()
            ),
            constants={
                name: bind.effective_value for name, bind in binds.items() if not bind.required
            },
        )


def _tuple(compiled: _Compiled, values: Mapping[str, object]) -> tuple[object, ...]:
    known = {**compiled.constants, **values} if compiled.constants else values
    return tuple(
        [
            known[name] if convert is None else convert(known[name])
            for name, convert in compiled.parameters
        ]
    )


def one_of(name: str, first: ColumnElement[Any], second: ColumnElement[Any]) -> ColumnElement[bool]:
    """
    Return the condition that two columns are one of the pairs *name*; `pairs` makes its values.

    For a list of pairs alone SQLite reads the whole table, whatever indices there are; for each column's own list
    it looks into one.
    """
    return and_(
        first.in_(bindparam(f"{name}_first", expanding=True)),
        second.in_(bindparam(f"{name}_second", expanding=True)),
        tuple_(first, second).in_(bindparam(name, expanding=True)),
    )


def pairs(name: str, values: Iterable[tuple[object, object]]) -> dict[str, list[Any]]:
    """Return what `one_of` needs to know of *values*."""
    listed = list(values)
    return {
        name: listed,
        f"{name}_first": list({first for first, _ in listed}),
        f"{name}_second": list({second for _, second in listed}),
    }


class InsertNew:
    """
    An INSERT that passes over rows which break a unique constraint.

    Both databases say ``ON CONFLICT DO NOTHING``, but SQLAlchemy has a construct for each.
    """

    def __init__(self, table: Table) -> None:
        self._prepared = Prepared(
            {
                "sqlite": sqlite.insert(table).on_conflict_do_nothing().inline(),
                "postgresql": postgresql.insert(table).on_conflict_do_nothing().inline(),
            }
        )

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Insert *rows*, which have all columns, in one call of the driver."""
        self._prepared.execute_many(connection, rows)


class InsertMany:
    """
    An INSERT of many rows, in the way that is quickest on each database.

    SQLite takes them one after the other without leaving the process. To PostgreSQL each would be a
    statement of its own; it takes one array for each column instead.

    Args:
        columns: All that rows have; the database fills in others.
    """

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self._columns = columns
        self._each = Prepared(insert(table).inline(), columns)
        self._arrays = Prepared(
            insert(table).from_select(
                columns,
                select(
                    *(
                        func.unnest(bindparam(name, type_=postgresql.ARRAY(table.c[name].type)))
                        for name in columns
                    )
                ),
            )
        )

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Insert *rows*, which all have the columns."""
        if connection.dialect.name == "postgresql":
            arrays = {name: [row[name] for row in rows] for name in self._columns}
            self._arrays.execute(connection, arrays)
        else:
            self._each.execute_many(connection, rows)


class Put:
    """
    An INSERT that replaces the row of the same primary key.

    As `InsertNew`: one statement in the construct of each database.
    """

    def __init__(self, table: Table) -> None:
        self._prepared = Prepared(
            {
                name: self._statement(table, dialect.insert).inline()
                for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
            }
        )

    @staticmethod
    def _statement(table: Table, upsert: Any) -> Any:
        statement = upsert(table)
        keys = [column.name for column in table.primary_key]
        others = [column.name for column in table.columns if column.name not in keys]
        return statement.on_conflict_do_update(
            index_elements=keys, set_={name: statement.excluded[name] for name in others}
        )

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Put *rows*, which have all columns, in one call of the driver."""
        self._prepared.execute_many(connection, rows)
