"""Is the file of a record built as it was made? Its schema, its tiles, and SQLite's own pages.

Parts of the verification (`verify.py`), which says in which order. Each returns, or raises
TamperedError naming the first entry concerned where one can be named.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence

from appliance.audit import merkle, schema, store
from appliance.audit.store import Head
from appliance.audit.tree import HEIGHT, WIDTH, Tree
from appliance.errors import ApplianceError, TamperedError


@contextlib.contextmanager
def naming_damage(connection: sqlite3.Connection) -> Iterator[None]:
    """When SQLite finds the file malformed on the way, look for the first entry that is lost."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        found = store.translate(error)
        if not isinstance(found, TamperedError):
            raise found from error
        raise TamperedError(_first_lost(connection), f"it cannot be read; {found.what}") from error


def _first_lost(connection: sqlite3.Connection) -> int | None:
    try:
        head = store.read_head(connection)
        for seq in range(head.pruned, head.size):
            try:
                if store.read_entry(connection, seq) is None:
                    return seq
            except sqlite3.DatabaseError:
                return seq
    except (sqlite3.DatabaseError, ApplianceError):
        return None
    return None


def check_integrity(connection: sqlite3.Connection) -> None:
    """What a walk in order tolerates may still hide an entry from whoever asks by its number."""
    message = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if message != "ok":
        raise TamperedError(None, f"sqlite says: {message}")


def check_schema(connection: sqlite3.Connection) -> None:
    """Tables, indexes and triggers are those that were made, and there is no other."""
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_schema "
        "WHERE sql NOT NULL OR name NOT LIKE 'sqlite_autoindex_%'"
    )
    found = rows.fetchall()
    there = dict(found)
    if len(there) != len(found):
        raise TamperedError(None, "it has two tables, indexes or triggers of one name")
    for name in sorted(there.keys() | schema.SCHEMA.keys()):
        if there.get(name) != schema.SCHEMA.get(name):
            state = "missing" if name not in there else "not as it was made"
            raise TamperedError(None, f"its table, index or trigger {name!r} is {state}")


def check_tiles(
    connection: sqlite3.Connection, tree: Tree, head: Head, walked: Sequence[bytes]
) -> None:
    """Every full tile is there, says what those below it say, and there is no other.

    `walked` are the roots of the full tiles that are signed, from `head.pruned` on.
    """
    lower = [_tile_root(tree, 0, n) for n in range(head.pruned // WIDTH)]
    lower += walked
    lower += [_tile_root(tree, 0, n) for n in range(len(lower), head.size // WIDTH)]
    count, level = len(lower), 1
    while len(lower) >= WIDTH:
        full = range(len(lower) // WIDTH)
        for index in full:
            if tree.tile(level, index) != b"".join(lower[index * WIDTH :][:WIDTH]):
                raise TamperedError(
                    index << (level + 1) * HEIGHT,
                    f"the tile of level {level} from it on is not that of the tiles below",
                )
        lower = [merkle.root(lower[index * WIDTH :][:WIDTH]) for index in full]
        count, level = count + len(lower), level + 1
    there = connection.execute("SELECT count(*) FROM tiles").fetchone()[0]
    if there != count:
        raise TamperedError(None, f"it has {there} tiles, and should have {count}")


def _tile_root(tree: Tree, level: int, index: int) -> bytes:
    return merkle.root(tree.hashes(level, index * WIDTH, (index + 1) * WIDTH))
