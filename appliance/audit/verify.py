"""Is the record at rest whole? Returns a `VerifiedRecord`, or raises naming the first bad entry.

Works on the file, read-only and without the ledger's lock: while the ledger runs, while it is
down, and on a copy. Steps, in this order:

1. Open the file; it must be there and readable.
2. Its tables and triggers are exactly those that were made.
3. Every entry fits the chain (`chain.Chain.add`), and its search columns are those of the entry.
4. The head names the last entry.
5. SQLite's own integrity check holds, so that searches find what is there.

When SQLite finds the file malformed on the way, entries are asked for one by one, so that the
first bad one can still be named.

Not caught here: a changed entry after which every hash was recomputed, a tail cut off together
with the head, an older copy of the whole file (signed checkpoints are for these); bytes of the
file that carry no part of the record, such as the unused end of a page.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any

from appliance.audit import store
from appliance.audit.chain import Chain, Stored
from appliance.audit.ledger import VerifiedRecord
from appliance.errors import ApplianceError, TamperedError

_SELECT = "SELECT seq, entry, leaf, " + ", ".join(store.COLUMNS) + " FROM entries"  # noqa: S608 - fixed names
_ROW_OF_INDEX = re.compile(r"^row (\d+) missing from index (\w+)")


def verify_file(path: Path) -> VerifiedRecord:
    """Walk the record in `path`; raise TamperedError with `.seq` and `.what` if it is not whole.

    Raises NotInitialisedError when the file is missing, UnavailableError when it cannot be read.
    """
    with store.translated(), contextlib.closing(store.open_reader(path)) as connection:
        # One snapshot: the ledger may go on writing meanwhile.
        connection.execute("BEGIN")
        verified = walk(connection)
        _check_integrity(connection)
    return verified


def walk(connection: sqlite3.Connection) -> VerifiedRecord:
    """Do steps 2 to 4 over an open connection."""
    _check_schema(connection)
    walker = _Walker(store.read_log_id(connection))
    try:
        for row in connection.execute(f"{_SELECT} ORDER BY seq"):
            walker.add(row)
    except sqlite3.DatabaseError as error:
        _read_around(connection, walker, store.translate(error))
    head = store.read_head(connection)
    if walker.chain.head.size < head.size:
        raise TamperedError(
            walker.chain.head.size, f"it is missing; the head counts {head.size} entries"
        )
    if walker.chain.head != head:
        last = walker.chain.head.size - 1
        raise TamperedError(max(last, 0), "the head does not name it as the last entry")
    return VerifiedRecord(head.size, walker.first_t, walker.last_t, head)


class _Walker:
    """The chain, and the search columns beside it."""

    def __init__(self, log: str) -> None:
        self.chain = Chain(log)
        self.first_t: str | None = None
        self.last_t: str | None = None

    def add(self, row: tuple[Any, ...]) -> None:
        seq, data, leaf, *columns = row
        if type(data) is not bytes or type(leaf) is not bytes:
            raise TamperedError(seq, "its bytes are stored as something else")
        value = self.chain.add(Stored(seq, data, leaf))
        try:
            expected = store.derived(value)
        except (KeyError, TypeError) as error:
            raise TamperedError(seq, f"its fields are of the wrong kind ({error})") from error
        if tuple(columns) != expected:
            name = next(
                name
                for name, found, meant in zip(store.COLUMNS, columns, expected, strict=True)
                if found != meant
            )
            raise TamperedError(seq, f"its search column {name!r} does not say what the entry says")
        self.first_t = self.first_t or value["t"]
        self.last_t = value["t"]


def _read_around(connection: sqlite3.Connection, walker: _Walker, found: ApplianceError) -> None:
    """Ask for one entry after the other from where the walk broke off; always raises."""
    if not isinstance(found, TamperedError):
        raise found
    while True:
        seq = walker.chain.head.size
        try:
            row = connection.execute(f"{_SELECT} WHERE seq = ?", (seq,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise TamperedError(seq, f"it cannot be read; sqlite says: {error}") from error
        if row is None:
            raise TamperedError(seq, f"it cannot be found; {found.what}")
        walker.add(row)


def _check_schema(connection: sqlite3.Connection) -> None:
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_autoindex_%'"
    )
    there = dict(rows.fetchall())
    for name in sorted(there.keys() | store.SCHEMA.keys()):
        if there.get(name) != store.SCHEMA.get(name):
            state = "missing" if name not in there else "not as it was made"
            raise TamperedError(None, f"its table, index or trigger {name!r} is {state}")


def _check_integrity(connection: sqlite3.Connection) -> None:
    messages = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    if messages == ["ok"]:
        return
    named = [(int(m[1]) - 1, m[2]) for text in messages if (m := _ROW_OF_INDEX.match(text))]
    if named:
        # SQLite counts rows from 1 in the order of the table, entries count from 0.
        seq, index = min(named)
        raise TamperedError(seq, f"the index {index!r} does not find it")
    raise TamperedError(None, f"sqlite says: {messages[0]}")
