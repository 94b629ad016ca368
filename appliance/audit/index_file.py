"""The file of the search index: its tables, and how they are filled from the record by SQLite.

`words` numbers every text that is searched for, once, exactly as it stands in the entry. `facts`
has the numbers for each entry, with one index per column; along one value it goes by number of
entry. `blocks` and `eras` have the earliest and latest time among so many entries. `state` says of
which log they are, and up to where.

Every function works on a connection with the index as its main database and the record attached,
read-only, as `record`. Errors are those of SQLite. Not here: threads, and when to fill.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance import durable
from appliance.audit import columns
from appliance.audit.entry import GENESIS, leaf_hash
from appliance.audit.query import EXACT
from appliance.audit.search import BLOCK, ERA

VERSION = "1"
BUSY_MS = 5_000
CACHE_KIB = 65_536
FOLD_PAGES = 4_000

# Table and column of the times, by how many entries they are of.
SPANS = {"block": BLOCK, "era": ERA}
SCHEMA = {
    "state": "CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), version TEXT NOT NULL, "
    "log TEXT NOT NULL, size INTEGER NOT NULL, last BLOB NOT NULL) STRICT",
    "words": "CREATE TABLE words (id INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE) STRICT",
    "facts": "CREATE TABLE facts (seq INTEGER PRIMARY KEY, t TEXT NOT NULL, "
    + ", ".join(f"{name} INTEGER" for name in EXACT)
    + ") STRICT",
    **{
        f"{one}s": f"CREATE TABLE {one}s ({one} INTEGER PRIMARY KEY, first_t TEXT NOT NULL, "
        "last_t TEXT NOT NULL) STRICT"
        for one in SPANS
    },
    **{
        f"facts_by_{name}": f"CREATE INDEX facts_by_{name} ON facts ({name}) "
        f"WHERE {name} IS NOT NULL"
        for name in EXACT
    },
}
# What one transaction adds or removes, in memory.
_SCRATCH = tuple(
    f"CREATE TEMP TABLE {table} (seq INTEGER PRIMARY KEY, t, {', '.join(EXACT)})"
    for table in ("fresh", "gone")
)

_TAKE = f"INSERT INTO fresh SELECT {columns.EXTRACTED} FROM {columns.PARSED}"  # noqa: S608 - fixed names
_NUMBER = tuple(
    f"INSERT OR IGNORE INTO words (value) SELECT DISTINCT {name} FROM fresh "  # noqa: S608 - fixed names
    f"WHERE {name} IS NOT NULL ORDER BY 1"  # in order, each page is written once
    for name in EXACT
)
_IDS = (f"(SELECT id FROM words WHERE value = {name})" for name in EXACT)  # noqa: S608 - fixed names
_KEEP = f"INSERT INTO facts SELECT seq, t, {', '.join(_IDS)} FROM fresh"  # noqa: S608 - fixed names
_TIMES = tuple(
    f"INSERT INTO {one}s SELECT seq / {width} AS n, min(t), max(t) FROM fresh WHERE 1 GROUP BY n "  # noqa: S608 - fixed names
    f"ON CONFLICT ({one}) DO UPDATE SET first_t = min(first_t, excluded.first_t), "
    "last_t = max(last_t, excluded.last_t)"
    for one, width in SPANS.items()
)
_GONE = (
    "INSERT INTO gone SELECT * FROM facts WHERE seq < ? AND NOT EXISTS "
    "(SELECT 1 FROM record.entries AS e WHERE e.seq = facts.seq) ORDER BY seq LIMIT ?"
)
_WERE = " UNION ".join(f"SELECT {name} FROM gone" for name in EXACT)  # noqa: S608 - fixed names
_ARE = " OR ".join(f"EXISTS (SELECT 1 FROM facts WHERE {name} = words.id)" for name in EXACT)  # noqa: S608 - fixed names
_UNUSED = f"DELETE FROM words WHERE id IN ({_WERE}) AND NOT ({_ARE})"  # noqa: S608 - fixed names
_TIMES_GONE = tuple(
    f"DELETE FROM {one}s WHERE {one} IN (SELECT seq / {width} FROM gone)"  # noqa: S608 - fixed names
    for one, width in SPANS.items()
)
_TIMES_ANEW = tuple(
    f"INSERT INTO {one}s SELECT seq / {width} AS n, min(t), max(t) FROM facts "  # noqa: S608 - fixed names
    f"WHERE seq >= (SELECT min(seq) / {width} * {width} FROM gone) "
    f"AND seq < (SELECT (max(seq) / {width} + 1) * {width} FROM gone) "
    f"AND seq / {width} NOT IN (SELECT {one} FROM {one}s) GROUP BY n"
    for one, width in SPANS.items()
)


def connect(path: Path, record: Path, mode: str) -> sqlite3.Connection:
    """Open an index (`mode` is `rw` or `ro`) with its record attached."""
    return _attached(f"{path.absolute().as_uri()}?mode={mode}", record)


def without_index(record: Path) -> sqlite3.Connection:
    """Return a connection with the record attached to an index that covers nothing."""
    connection = _attached(":memory:", record)
    connection.execute("CREATE TABLE state AS SELECT 0 AS size")
    return connection


def create(path: Path, record: Path) -> sqlite3.Connection:
    """Make an empty index (0600) in place of what there is, and open it for writing."""
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    with durable.open_new(path, 0o600):
        pass
    connection = connect(path, record, "rw")
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        with _transaction(connection) as run:
            for statement in SCHEMA.values():
                run(statement)
            run(
                "INSERT INTO state SELECT 1, ?, value, 0, ? FROM record.meta WHERE name = 'log'",
                (VERSION, GENESIS),
            )
        make_ready(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def reopen(path: Path, record: Path) -> tuple[sqlite3.Connection, int] | None:
    """Open an index for writing; return it with up to where it covers its record.

    None when there is none, or when it is damaged or of something else.
    """
    if not path.exists():
        return None
    with contextlib.ExitStack() as stack:
        try:
            connection = connect(path, record, "rw")
            stack.callback(connection.close)
            size = covered(connection)
            if size is not None:
                make_ready(connection)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return None
        if size is None:
            return None
        stack.pop_all()
        return connection, size


def make_ready(connection: sqlite3.Connection) -> None:
    """Prepare a connection that is to write."""
    for statement in (
        "PRAGMA journal_mode=WAL",
        # A power cut may take the last transactions: they are made again.
        "PRAGMA synchronous=NORMAL",
        f"PRAGMA wal_autocheckpoint={FOLD_PAGES}",
        f"PRAGMA cache_size=-{CACHE_KIB}",
        "PRAGMA temp_store=MEMORY",
        *_SCRATCH,
    ):
        connection.execute(statement)


def covered(connection: sqlite3.Connection) -> int | None:
    """Return up to where an index covers its record; None unless it is as it was made, for it."""
    if not _is_as_made(connection):
        return None
    row = connection.execute(
        "SELECT size, last FROM state WHERE version = ? "
        "AND log = (SELECT value FROM record.meta WHERE name = 'log')",
        (VERSION,),
    ).fetchone()
    if row is None or (row[0] > 0 and _leaf(connection, row[0] - 1) != row[1]):
        return None
    return int(row[0])


def is_at_fault(path: Path, error: sqlite3.DatabaseError) -> bool:
    """Return whether the index, and not the record, is what an error came from."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith("SQLITE_CONSTRAINT"):
        return True  # it has what it says that it has not
    if not is_damage(error):
        return False
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            return (
                not _is_as_made(connection)
                or connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok"
            )
    except sqlite3.DatabaseError:
        return True


def add(connection: sqlite3.Connection, goal: int, at_most: int) -> int:
    """Cover the next `at_most` entries below `goal` in one transaction; return up to where."""
    with _transaction(connection) as run:
        # Another connection may have gone on meanwhile.
        size = int(run("SELECT size FROM state").fetchone()[0])
        if size >= goal:
            return size
        # Of a pruned record the first entries are missing.
        first = run("SELECT min(seq) FROM record.entries WHERE seq >= ?", (size,)).fetchone()[0]
        if first is None or first >= goal:
            return goal
        stop = min(goal, first + at_most)
        run("DELETE FROM fresh")
        run(_TAKE, (first, stop))
        for statement in (*_NUMBER, _KEEP, *_TIMES):
            run(statement)
        run("UPDATE state SET size = ?, last = ?", (stop, _leaf(connection, stop - 1)))
    return int(stop)


def forget(connection: sqlite3.Connection, below: int, at_most: int) -> bool:
    """Drop up to `at_most` entries below a number that the record has no longer; False: none."""
    with _transaction(connection) as run:
        run("DELETE FROM gone")
        if run(_GONE, (below, at_most)).rowcount == 0:
            return False
        run("DELETE FROM facts WHERE seq IN (SELECT seq FROM gone)")
        for statement in (_UNUSED, *_TIMES_GONE, *_TIMES_ANEW):
            run(statement)
    return True


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error may mean a damaged file; a full disk or a lock does not."""
    name = getattr(error, "sqlite_errorname", None) or ""
    return name == "SQLITE_ERROR" or name.startswith(
        ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH")
    )


def _is_as_made(connection: sqlite3.Connection) -> bool:
    rows = connection.execute(
        "SELECT name, sql FROM main.sqlite_schema WHERE name NOT LIKE 'sqlite_autoindex_%'"
    ).fetchall()
    return dict(rows) == SCHEMA


def _attached(main: str, record: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(main, uri=True, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        connection.execute("ATTACH ? AS record", (f"{record.absolute().as_uri()}?mode=ro",))
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[Callable[..., sqlite3.Cursor]]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection.execute
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _leaf(connection: sqlite3.Connection, seq: int) -> bytes:
    row = connection.execute("SELECT entry FROM record.entries WHERE seq = ?", (seq,)).fetchone()
    return GENESIS if row is None else leaf_hash(bytes(row[0]))
