"""The tables and triggers of audit.db, version 2: exactly these, and nothing else.

The triggers refuse UPDATE, DELETE and REPLACE: a speed bump against mistakes, not against an
attacker, who can drop them (and the verifier notices that).
"""

from __future__ import annotations

from collections.abc import Mapping

VERSION = "2"


def _refuse(name: str, event: str, condition: str = "") -> str:
    table = name.split("_", maxsplit=1)[0]
    return (
        f"CREATE TRIGGER {name} BEFORE {event} ON {table}{condition} "
        "BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END"
    )


def _append_only(table: str) -> dict[str, str]:
    return {
        f"{table}_no_update": _refuse(f"{table}_no_update", "UPDATE"),
        f"{table}_no_delete": _refuse(f"{table}_no_delete", "DELETE"),
    }


# Exactly these statements are in the file; the verifier compares them with what it finds.
SCHEMA: Mapping[str, str] = {
    "meta": "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "head": "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, "
    "leaf BLOB NOT NULL, frontier BLOB NOT NULL, pruned INTEGER NOT NULL) STRICT",
    "entries": "CREATE TABLE entries (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT",
    "tiles": "CREATE TABLE tiles (level INTEGER NOT NULL, idx INTEGER NOT NULL, "
    "hashes BLOB NOT NULL, PRIMARY KEY (level, idx)) STRICT, WITHOUT ROWID",
    "checkpoints": "CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT",
    "epochs": "CREATE TABLE epochs (number INTEGER PRIMARY KEY, seq INTEGER, key TEXT NOT NULL) "
    "STRICT",
    "entries_no_update": _refuse("entries_no_update", "UPDATE"),
    # Only what `head.pruned` says is gone may go.
    "entries_no_delete": _refuse(
        "entries_no_delete", "DELETE", " WHEN OLD.seq >= (SELECT pruned FROM head)"
    ),
    # INSERT OR REPLACE deletes without asking the trigger above.
    "entries_no_replace": _refuse(
        "entries_no_replace", "INSERT", " WHEN NEW.seq <= (SELECT max(seq) FROM entries)"
    ),
    **_append_only("meta"),
    **_append_only("tiles"),
    **_append_only("checkpoints"),
    **_append_only("epochs"),
    "head_no_delete": _refuse("head_no_delete", "DELETE"),
}
