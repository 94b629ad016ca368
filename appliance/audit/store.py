"""The file audit.db: entries are added in one transaction with the head, and only by one writer.

SQLite itself, without SQLAlchemy: every answer waits for this commit. WAL with
`synchronous=FULL` makes a returned commit durable. Triggers refuse UPDATE, DELETE and REPLACE:
a speed bump against mistakes, not against an attacker, who can drop them (and the verifier
notices that). Columns beside `entry` and `leaf` are derived from the entry for searching; the
verifier compares each of them.

Not here: hashing, threads, and what to do when the disk is full.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from appliance import durable
from appliance.audit.chain import EMPTY, ChainHead, Stored
from appliance.errors import (
    ApplianceError,
    ConflictError,
    DiskFullError,
    NotInitialisedError,
    TamperedError,
    UnavailableError,
)

SCHEMA_VERSION = "1"
COLUMNS = ("t", "action", "outcome", "user", "role", "source", "entity", "model", "purpose")
BUSY_MS = 5_000
# Pages in the side log before SQLite folds it in while a caller waits. An append touches a dozen,
# so the default of 1,000 would cost every 80th caller three more fsyncs; this is 16 MiB.
FOLD_PAGES = 4_000

Row = tuple[int, bytes, bytes, "str | None"]


def _refuse(name: str, event: str, condition: str = "") -> str:
    table = name.split("_", maxsplit=1)[0]
    return (
        f"CREATE TRIGGER {name} BEFORE {event} ON {table}{condition} "
        "BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END"
    )


# Exactly these statements are in the file; the verifier compares them with what it finds.
SCHEMA: Mapping[str, str] = {
    "meta": "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "head": "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), "
    "size INTEGER NOT NULL, leaf BLOB NOT NULL) STRICT",
    "entries": "CREATE TABLE entries (seq INTEGER PRIMARY KEY, "
    "entry BLOB NOT NULL, leaf BLOB NOT NULL, "
    + ", ".join(f"{name} TEXT" for name in COLUMNS)
    + ") STRICT",
    **{
        f"entries_by_{name}": f"CREATE INDEX entries_by_{name} ON entries ({name}) "
        f"WHERE {name} IS NOT NULL"
        for name in COLUMNS
    },
    "entries_no_update": _refuse("entries_no_update", "UPDATE"),
    "entries_no_delete": _refuse("entries_no_delete", "DELETE"),
    # INSERT OR REPLACE deletes without asking the trigger above.
    "entries_no_replace": _refuse(
        "entries_no_replace", "INSERT", " WHEN NEW.seq <= (SELECT max(seq) FROM entries)"
    ),
    "meta_no_update": _refuse("meta_no_update", "UPDATE"),
    "meta_no_delete": _refuse("meta_no_delete", "DELETE"),
    "head_no_delete": _refuse("head_no_delete", "DELETE"),
}

_INSERT = "INSERT INTO entries VALUES (" + ", ".join("?" * (3 + len(COLUMNS))) + ")"  # noqa: S608 - fixed text


def derived(entry: Mapping[str, Any]) -> tuple[str | None, ...]:
    """Return the values of COLUMNS that belong to an entry."""
    agent, model = entry["agent"], entry["model"]
    return (
        entry["t"], entry["action"], entry["outcome"], agent["user"], agent["role"],
        entry["source"], entry["entity"], None if model is None else model["name"],
        entry["purpose"],
    )  # fmt: skip


def create(path: Path, log_id: str) -> None:
    """Make an empty record; raise ConflictError when there is one. Durable, or not there at all."""
    if path.exists():
        raise ConflictError(f"{path} exists already", hint="it was left as it is")
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        with durable.translated(), durable.open_new(temporary, 0o600):
            pass
        connection = sqlite3.connect(temporary, isolation_level=None)
        with translated(), contextlib.closing(connection):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA.values():
                connection.execute(statement)
            meta = {"log": log_id, "schema": SCHEMA_VERSION}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            connection.execute("INSERT INTO head VALUES (1, ?, ?)", (EMPTY.size, EMPTY.leaf))
            connection.execute("COMMIT")
        _sync(temporary)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    durable.sync_folder(path.parent)


class Writer:
    """The one connection that adds entries; used by one thread at a time.

    Raises sqlite3.Error as SQLite does: whoever writes has to tell a full disk from the rest.
    """

    def __init__(self, path: Path) -> None:
        self._connection = _connect(path, "rw")
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"busy_timeout={BUSY_MS}",
            f"wal_autocheckpoint={FOLD_PAGES}",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        self.commits = 0

    def begin(self) -> ChainHead:
        """Take the write lock and return the head as the file has it."""
        self._connection.execute("BEGIN IMMEDIATE")
        return read_head(self._connection)

    def last_action(self) -> str | None:
        """Return the action of the newest entry."""
        row = self._connection.execute(
            "SELECT action FROM entries ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return None if row is None else row[0]

    def commit(self, rows: Iterable[tuple[Any, ...]], head: ChainHead) -> None:
        """Add rows (seq, entry, leaf, *derived) with the new head, durably, or raise."""
        self._connection.executemany(_INSERT, rows)
        self._connection.execute("UPDATE head SET size = ?, leaf = ?", (head.size, head.leaf))
        self._connection.execute("COMMIT")
        self.commits += 1

    def roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def fold(self) -> bool:
        """Move all entries from the write-ahead log into audit.db; False while a reader is busy."""
        # Waiting for a reader here would make every caller wait for it.
        self._connection.execute("PRAGMA busy_timeout=0")
        try:
            row = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return bool(row[0] == 0)
        except sqlite3.Error:
            return False
        finally:
            self._connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")

    def close(self) -> None:
        self._connection.close()


class Readers:
    """Read-only connections, lent one at a time to any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Iterator[sqlite3.Connection]:
        with translated():
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            connection = connection or open_reader(self._path)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            with self._lock:
                self._idle.append(connection)

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop().close()


def open_reader(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot write, also where SQLite cannot make its helper files."""
    connection = _connect(path, "ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.DatabaseError as error:
        # A folder that cannot be written, such as a stick: fine as long as nothing waits in the
        # write-ahead log, which an immutable connection does not read.
        connection.close()
        log = path.with_name(path.name + "-wal")
        waiting = log.exists() and log.stat().st_size > 0
        if waiting or not isinstance(error, sqlite3.OperationalError):
            raise
        connection = _connect(path, "ro&immutable=1")
    return connection


def read_head(connection: sqlite3.Connection) -> ChainHead:
    """Return the head row."""
    row = connection.execute("SELECT size, leaf FROM head").fetchone()
    if row is None:
        raise TamperedError(None, "it has no head")
    return ChainHead(*row)


def read_log_id(connection: sqlite3.Connection) -> str:
    """Return the name of the log; raise when the file is of another version."""
    meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    if meta.get("schema") != SCHEMA_VERSION or "log" not in meta:
        raise TamperedError(None, f"it does not say that its version is {SCHEMA_VERSION}")
    return str(meta["log"])


def pages(readers: Readers, where: str, values: list[Any], start: int) -> Iterator[Stored]:
    """Yield matching entries in order, without holding a snapshot between pages of 500.

    A snapshot held by a slow reader would keep the write-ahead log from being folded in.
    """
    while True:
        with readers.one() as connection:
            rows = connection.execute(
                f"SELECT seq, entry, leaf FROM entries WHERE seq >= ? AND {where} "  # noqa: S608 - `where` is built from fixed names
                "ORDER BY seq LIMIT 500",
                [start, *values],
            ).fetchall()
        yield from (Stored(*row) for row in rows)
        if len(rows) < 500:
            return
        start = rows[-1][0] + 1


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn errors of SQLite into those of the appliance."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise translate(error) from error


def translate(error: sqlite3.Error) -> ApplianceError:
    """Return what an error of SQLite means to an operator."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name == "SQLITE_FULL":
        return DiskFullError("the record cannot grow: the disk is full")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "decode to UTF-8" in str(error):
        return TamperedError(None, f"sqlite says: {error}")
    return UnavailableError(f"the record cannot be read or written: {error}")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    if not path.exists():
        raise NotInitialisedError(f"the record {path} is missing; none was made in its place")
    if not os.access(path, os.R_OK):
        raise UnavailableError(f"the record {path} may not be read by this user")
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
