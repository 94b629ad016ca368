"""Queries as SQL: values are always bound, only fixed names are put together."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from appliance.audit.query import EXACT, Query
from appliance.audit.store import COLUMNS

_ANYWHERE = " || ' ' || ".join(f"ifnull({name}, '')" for name in COLUMNS if name != "t")


def newest(connection: sqlite3.Connection, query: Query) -> list[tuple[int, bytes, bytes]]:
    """Return one entry more than `query.limit` (seq, bytes, leaf), newest first."""
    where, values = condition(query)
    return connection.execute(
        f"SELECT seq, entry, leaf FROM entries WHERE {where} ORDER BY seq DESC LIMIT ?",  # noqa: S608 - `where` is built from fixed names
        [*values, query.limit + 1],
    ).fetchall()


def condition(query: Query, *, below: int | None = None) -> tuple[str, list[Any]]:
    """Return the WHERE condition of all filters and of `seq < below`, with its values."""
    parts, values = ["1"], []
    for name in EXACT:
        value = getattr(query, name)
        if value is not None:
            parts.append(f"{name} = ?")
            values.append(value)
    for part, bound in (
        ("t >= ?", query.since),
        ("t < ?", query.until),
        ("seq < ?", below),
        ("seq < ?", query.before_seq),
    ):
        if bound is not None:
            parts.append(part)
            values.append(bound)
    if query.text is not None:
        # In the bytes of an entry, `:"` starts every value that is text, and no name of a field.
        parts.append(f"({_ANYWHERE} LIKE ? ESCAPE '\\' OR CAST(entry AS TEXT) LIKE ? ESCAPE '\\')")
        written = json.dumps(query.text, ensure_ascii=False)[1:-1]
        values += [f"%{_literal(query.text)}%", f'%:"{_literal(written)}%']
    return " AND ".join(parts), values


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
