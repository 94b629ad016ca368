"""A record for the tests of the search index: real entries in the tables that the index reads."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from appliance.audit.entry import GENESIS, Event, Position, encode
from appliance.audit.index import Index
from appliance.audit.query import EXACT, Query
from appliance.clock import rfc3339
from tests.unit.audit.samples import event

LOG = "ward/audit/0123456789abcdef"
START = 1_769_850_000  # 2026-01-31T09:00:00Z
DAY_S = 86_400
SUBJECT = "pat_0123456789abcdef01234567"


class Record:
    """The file, written to as the ledger does: committed entries, numbered without gaps."""

    def __init__(self, folder: Path, events: Iterable[tuple[Event, float]] = ()) -> None:
        self.path = folder / "audit.db"
        self._connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
            "CREATE TABLE head (one INTEGER PRIMARY KEY, pruned INTEGER NOT NULL)",
            "CREATE TABLE entries (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL)",
            f"INSERT INTO meta VALUES ('log', '{LOG}')",  # noqa: S608 - fixed text
            "INSERT INTO head VALUES (1, 0)",
        ):
            self._connection.execute(statement)
        self.size = 0
        self.add(*events)

    def add(self, *events: tuple[Event, float]) -> None:
        """Append events, each with its time in seconds, in one transaction."""
        data = [
            encode(event, Position(LOG, self.size + at, rfc3339(t), "boot", 0, GENESIS))
            for at, (event, t) in enumerate(events)
        ]
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT INTO entries VALUES (?, ?)", enumerate(data, start=self.size)
        )
        self._connection.execute("COMMIT")
        self.size += len(data)

    def run(self, sql: str, *values: Any) -> list[Any]:
        """Do anything else to the file."""
        return self._connection.execute(sql, values).fetchall()

    def rows(self) -> list[tuple[int, bytes]]:
        """Return (seq, entry) of all there is."""
        return self.run("SELECT seq, entry FROM entries ORDER BY seq")

    def index(self) -> Index:
        """Open the index beside the record."""
        return Index(self.path.with_name("audit.index.db"), self.path)

    def close(self) -> None:
        self._connection.close()


def some(count: int, every_s: float = 60.0) -> list[tuple[Event, float]]:
    """Return so many different events, one a minute."""
    return [(event(number), START + number * every_s) for number in range(count)]


def matches(rows: Sequence[tuple[int, bytes]], query: Query) -> list[int]:
    """Return which entries fit, oldest first: the meaning of a query, told without SQL."""
    return [seq for seq, data in rows if _fits(seq, data, query)]


def _fits(seq: int, data: bytes, query: Query) -> bool:
    value = json.loads(data)
    agent, model, content = value["agent"], value["model"] or {}, value["content"] or {}
    columns = {
        **{name: value.get(name) for name in EXACT},
        "user": agent["user"],
        "role": agent["role"],
        "model": model.get("name"),
        "subject": content.get("subject"),
    }
    wanted = {name: getattr(query, name) for name in EXACT}
    return (
        all(columns[name] == wanted[name] for name in EXACT if wanted[name] is not None)
        and (query.since is None or value["t"] >= query.since)
        and (query.until is None or value["t"] < query.until)
        and (query.before_seq is None or seq < query.before_seq)
        and (query.text is None or _says(data.decode(), columns, query.text))
    )


def _says(data: str, columns: dict[str, Any], text: str) -> bool:
    written = _lower(json.dumps(text, ensure_ascii=False)[1:-1])
    if ':"' + written in _lower(data):
        return True
    spelled = (json.dumps(value, ensure_ascii=False) for value in columns.values() if value)
    return any(written in _lower(value) for value in spelled)


def _lower(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def seqs(index: Index, size: int, **filters: Any) -> list[int]:
    """Return the numbers of the entries on the newest page."""
    return [seq for seq, _ in index.newest(Query(**filters), size)[0]]


def change(index: Index, *statements: str) -> None:
    """Change the index as someone who can write the file."""
    connection = sqlite3.connect(index.path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
