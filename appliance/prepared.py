"""Statements of every question: written with SQLAlchemy's tables, run by the driver itself.

SQLAlchemy takes several times as long over such a statement as SQLite does, for what is not needed
here: objects of rows, a compiler, a pool, events. So each is made into SQL once, when its module
is imported, and columns still have one place where they are declared. Guarantee: what comes back
has the types of those columns. Everything that is not asked with each question stays with
SQLAlchemy. Not here: transactions and what an error means (`database.py`).
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

_DIALECT = sqlite.dialect(paramstyle="named")


class Prepared:
    """One statement; the values of its parameters come by name, in a mapping."""

    def __init__(self, statement: sa.Select[Any] | sa.Insert | sa.Update) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._fixed = {
            name: bind.value for name, bind in compiled.binds.items() if not bind.required
        }
        columns = list(statement.selected_columns) if isinstance(statement, sa.Select) else []
        self._row = _row_of([str(column.key) for column in columns])
        processors = (column.type.result_processor(_DIALECT, None) for column in columns)
        self._converted = [(at, make) for at, make in enumerate(processors) if make is not None]

    def run(self, connection: sqlite3.Connection, values: Mapping[str, Any]) -> int:
        """Return how many rows the statement changed."""
        return connection.execute(self.sql, {**self._fixed, **values}).rowcount

    def run_many(self, connection: sqlite3.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run the statement once for each."""
        connection.executemany(self.sql, ({**self._fixed, **row} for row in rows))

    def all(self, connection: sqlite3.Connection, values: Mapping[str, Any]) -> list[Any]:
        """Return the rows, each with its columns as attributes."""
        # All at once: a statement that is not read to its end would keep its moment of the file.
        found = connection.execute(self.sql, {**self._fixed, **values}).fetchall()
        return [self._made(row) for row in found]

    def one(self, connection: sqlite3.Connection, values: Mapping[str, Any]) -> Any:
        """Return the only row, None when there is none."""
        rows = self.all(connection, values)
        if len(rows) > 1:
            raise LookupError("several rows where one is possible at most")
        return rows[0] if rows else None

    def _made(self, row: tuple[Any, ...]) -> Any:
        if not self._converted:
            return self._row._make(row)
        values = list(row)
        for at, make in self._converted:
            values[at] = make(values[at])
        return self._row._make(values)


def _row_of(names: list[str]) -> Any:
    return namedtuple("Row", names)  # a checker cannot know fields that come from a statement
