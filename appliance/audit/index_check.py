"""Does the search index say what the record says? In SQL, so that ten million entries take minutes.

Compared are every value of every entry, entries that one has and the other has not, the times
of blocks and eras, and SQLite's own structure (an entry missing from one of the indexes would be
hidden from a search). An entry that is not covered yet is not looked at.
"""

from __future__ import annotations

import re
import sqlite3

from appliance.audit import columns
from appliance.audit.index_file import SPANS
from appliance.audit.query import EXACT
from appliance.errors import TamperedError

STEP = 50_000
_ROW_OF_INDEX = re.compile(r"^row (\d+) missing from index \w+")

# The second half is for a number without a text.
_UNLIKE = (
    "(SELECT value FROM words WHERE id = f.{0}) IS NOT x.{0} OR (f.{0} IS NULL) <> (x.{0} IS NULL)"
)
_DIFFERENT = (
    f"SELECT x.seq FROM (SELECT {columns.EXTRACTED} FROM {columns.PARSED}) AS x "  # noqa: S608 - fixed names
    "LEFT JOIN facts AS f ON f.seq = x.seq WHERE f.seq IS NULL OR f.t IS NOT x.t OR "
    + " OR ".join(_UNLIKE.format(name) for name in EXACT)
    + " ORDER BY x.seq LIMIT 1"
)
# Below `pruned`, what is no longer in the record waits to be forgotten.
_WITHOUT_ENTRY = (
    "SELECT min(f.seq) FROM facts AS f WHERE f.seq >= ? AND f.seq < ? "
    "AND f.seq >= (SELECT pruned FROM record.head) "
    "AND NOT EXISTS (SELECT 1 FROM record.entries AS e WHERE e.seq = f.seq)"
)
_OUTSIDE = "SELECT min(seq) FROM facts WHERE seq < 0 OR seq >= (SELECT size FROM state)"
_MEANT = "SELECT seq / {1} AS n, min(t), max(t) FROM facts GROUP BY n"
_TIMES_DIFFERENT = tuple(
    (
        "SELECT min(n) FROM ("  # noqa: S608 - fixed names
        f"SELECT * FROM ({_MEANT} EXCEPT SELECT * FROM {{0}}s) UNION ALL "
        f"SELECT * FROM (SELECT {{0}} AS n, first_t, last_t FROM {{0}}s EXCEPT {_MEANT}))"
    ).format(one, width)
    for one, width in SPANS.items()
)


def check(connection: sqlite3.Connection) -> int | None:
    """Return the first entry that index and record do not agree on, or None.

    Raises TamperedError when the file is damaged so that no entry can be named.
    """
    run = connection.execute
    size = run("SELECT size FROM state").fetchone()[0]
    start = run("SELECT min(seq) FROM record.entries").fetchone()[0] or 0
    first = run("SELECT min(seq) FROM facts").fetchone()[0]
    start = start if first is None else min(start, first)
    for low in range(start, size, STEP):
        high = min(low + STEP, size)
        found = [
            row[0]
            for sql in (_DIFFERENT, _WITHOUT_ENTRY)
            if (row := run(sql, (low, high)).fetchone()) is not None and row[0] is not None
        ]
        if found:
            return int(min(found))
    outside = zip((_OUTSIDE, *_TIMES_DIFFERENT), (1, *SPANS.values()), strict=True)
    for sql, factor in outside:
        value = run(sql).fetchone()[0]
        if value is not None:
            return int(value) * factor
    return _structure(connection)


def _structure(connection: sqlite3.Connection) -> int | None:
    message = str(connection.execute("PRAGMA main.integrity_check(1)").fetchone()[0])
    if message == "ok":
        return None
    if (named := _ROW_OF_INDEX.match(message)) is not None:
        # SQLite counts rows from 1 in the order of the table.
        row = connection.execute(
            "SELECT seq FROM facts ORDER BY seq LIMIT 1 OFFSET ?", (int(named[1]) - 1,)
        ).fetchone()
        if row is not None:
            return int(row[0])
    raise TamperedError(None, f"sqlite says of the search index: {message}")
