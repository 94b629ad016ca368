"""The file audit.db: entries are added in one transaction with the head, and only by one writer.

SQLite itself, without SQLAlchemy: every answer waits for this commit. WAL with
`synchronous=FULL` makes a returned commit durable. An append adds one row at the end and changes
one row; every 256th adds a tile of the tree, every 1,000th a signed checkpoint, all in the same
transaction.

Not here: the tables (`schema.py`), making the file (`creation.py`), hashing, signing, threads,
searching (`index.py`), and what to do when the disk is full.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.audit import schema
from appliance.audit.chain import ChainHead
from appliance.audit.epochs import Epoch
from appliance.audit.merkle import HASH_BYTES, Frontier
from appliance.audit.tree import Growth
from appliance.errors import (
    ApplianceError,
    BadInputError,
    DiskFullError,
    NotInitialisedError,
    TamperedError,
    UnavailableError,
)

BUSY_MS = 5_000
# Pages in the side log before SQLite folds it in while a caller waits, and begins it anew.
FOLD_PAGES = 1_000


@dataclass(frozen=True, slots=True)
class Head:
    """How far the record goes: what the next append goes on from.

    `frontier` are the roots of the tree's full subtrees, the largest first, in one piece;
    `pruned` is the number of the first entry that is still kept.
    """

    size: int
    leaf: bytes
    frontier: bytes
    pruned: int = 0

    @property
    def chain(self) -> ChainHead:
        """The part that the chain goes on from."""
        return ChainHead(self.size, self.leaf)

    def tree(self) -> Frontier:
        """Return the tree so far; raise TamperedError when the row does not hold together."""
        step = HASH_BYTES
        roots = [self.frontier[at : at + step] for at in range(0, len(self.frontier), step)]
        try:
            return Frontier(self.size, roots)
        except BadInputError as error:
            raise TamperedError(None, f"its head does not hold together ({error})") from error


@dataclass(slots=True)
class Batch:
    """What one transaction adds, beside the new head."""

    entries: list[tuple[int, bytes]] = field(default_factory=list)
    tiles: list[tuple[int, int, bytes]] = field(default_factory=list)
    checkpoint: tuple[int, str] | None = None
    epoch: Epoch | None = None


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

    def begin(self) -> Head:
        """Take the write lock and return the head as the file has it."""
        self._connection.execute("BEGIN IMMEDIATE")
        return read_head(self._connection)

    def head(self) -> Head:
        """Return the head as the file has it."""
        return read_head(self._connection)

    def growth(self, head: Head) -> Growth:
        """Return the tree up to the head, ready to grow."""
        return Growth.of(self._connection, head.tree())

    def newest_checkpoint(self) -> tuple[int, str] | None:
        """Return size and note of the newest checkpoint."""
        return newest_checkpoint(self._connection)

    def last_entry(self) -> bytes | None:
        """Return the bytes of the newest entry."""
        row = self._connection.execute(
            "SELECT entry FROM entries ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return None if row is None else row[0]

    def commit(self, batch: Batch, head: Head) -> None:
        """Add everything in the batch with the new head, durably, or raise."""
        run = self._connection
        run.executemany("INSERT INTO entries VALUES (?, ?)", batch.entries)
        if batch.tiles:
            run.executemany("INSERT INTO tiles VALUES (?, ?, ?)", batch.tiles)
        if batch.checkpoint is not None:
            run.execute("INSERT INTO checkpoints VALUES (?, ?)", batch.checkpoint)
        if batch.epoch is not None:
            epoch = batch.epoch
            run.execute("INSERT INTO epochs VALUES (?, ?, ?)", (epoch.number, epoch.seq, epoch.key))
        run.execute(
            "UPDATE head SET size = ?, leaf = ?, frontier = ?",
            (head.size, head.leaf, head.frontier),
        )
        run.execute("COMMIT")
        self.commits += 1

    def prune(self, before: int, at_most: int) -> int:
        """Let go of entries below `before`, in one transaction, the oldest `at_most` first.

        `before` is a multiple of 256, so that the tiles that stay cover every entry that goes.
        Hand-overs to a new key stay too: without them no later key could be trusted. Returns how
        many went; 0 means that none is left.
        """
        run = self._connection
        run.execute("BEGIN IMMEDIATE")
        run.execute("UPDATE head SET pruned = max(pruned, ?)", (before,))
        removed = run.execute(
            "DELETE FROM entries WHERE seq IN (SELECT seq FROM entries WHERE seq < ? "
            "AND seq NOT IN (SELECT seq FROM epochs WHERE seq NOT NULL) ORDER BY seq LIMIT ?)",
            (before, at_most),
        ).rowcount
        run.execute("COMMIT")
        self.commits += 1
        return removed

    def roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def fold(self, *, free: bool = False) -> bool:
        """Move all entries from the write-ahead log into audit.db; False while a reader is busy.

        The log keeps its room on the disk unless `free`: to write over it costs half of what
        it costs to let a file grow.
        """
        mode = "TRUNCATE" if free else "RESTART"
        # Waiting for a reader here would make every caller wait for it.
        self._connection.execute("PRAGMA busy_timeout=0")
        try:
            row = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
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


def read_head(connection: sqlite3.Connection) -> Head:
    """Return the head row."""
    row = connection.execute("SELECT size, leaf, frontier, pruned FROM head").fetchone()
    if row is None:
        raise TamperedError(None, "it has no head")
    return Head(*row)


def read_meta(connection: sqlite3.Connection) -> tuple[str, str]:
    """Return the name of the log and its first verifier key; raise if of another version."""
    meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    if meta.keys() != {"schema", "log", "key"} or meta["schema"] != schema.VERSION:
        raise TamperedError(None, f"it does not say that its version is {schema.VERSION}")
    return str(meta["log"]), str(meta["key"])


def read_epochs(connection: sqlite3.Connection) -> list[Epoch]:
    """Return every epoch, the first one first."""
    rows = connection.execute("SELECT number, seq, key FROM epochs ORDER BY number")
    return [Epoch(*row) for row in rows]


def newest_checkpoint(connection: sqlite3.Connection) -> tuple[int, str] | None:
    """Return size and note of the newest checkpoint."""
    row = connection.execute(
        "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1"
    ).fetchone()
    return None if row is None else (row[0], row[1])


def read_checkpoints(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    """Return size and note of every checkpoint, the smallest first."""
    return connection.execute("SELECT size, note FROM checkpoints ORDER BY size").fetchall()


def read_checkpoint(connection: sqlite3.Connection, size: int) -> str | None:
    """Return the note of the checkpoint over exactly `size` entries, or None."""
    row = connection.execute("SELECT note FROM checkpoints WHERE size = ?", (size,)).fetchone()
    return None if row is None else str(row[0])


def read_entry(connection: sqlite3.Connection, seq: int) -> bytes | None:
    """Return the bytes of one entry, or None when it is not there."""
    row = connection.execute("SELECT entry FROM entries WHERE seq = ?", (seq,)).fetchone()
    return None if row is None else row[0]


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn errors of SQLite into those of the appliance."""
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise translate(error) from error


def translate(error: Exception) -> ApplianceError:
    """Return what an error of SQLite means to an operator."""
    if isinstance(error, UnicodeDecodeError):  # SQLite quotes what it found in a damaged file
        return TamperedError(None, "sqlite cannot read it, nor say why")
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
