"""An attacker who can write the database: takes a record apart, changes it, puts it together.

Everything that needs no key is computed anew: links, leaf hashes, tiles, the head. A checkpoint is
kept as it was, or signed anew where a stolen key of its epoch is at hand. The tree comes from the
recursion of RFC 9162 in `record_forge`, not from the code under test.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.simulators import record_forge

Entry = dict[str, Any]


class Rewriter:
    """A record in memory; `entries` and `notes` may be changed at will, then `store`."""

    def __init__(self, record: Path) -> None:
        self._record = record
        with contextlib.closing(sqlite3.connect(record)) as db:
            rows = db.execute("SELECT entry FROM entries ORDER BY seq").fetchall()
            self.notes: dict[int, str] = dict(db.execute("SELECT size, note FROM checkpoints"))
            self.epochs: list[Any] = db.execute("SELECT * FROM epochs ORDER BY number").fetchall()
        self.entries: list[Entry] = [json.loads(data) for (data,) in rows]

    def relink(self) -> None:
        """Give each entry the number of its place, and the hash of the entry before it."""
        before = bytes(32)
        for seq, entry in enumerate(self.entries):
            entry |= {"seq": seq, "prev": before.hex()}
            before = record_forge.leaf(rfc8785.dumps(entry))

    def sign(self, seed: bytes, sizes: Callable[[int], bool]) -> None:
        """Sign the checkpoints of these sizes anew with a stolen key."""
        secret, leaves = Ed25519PrivateKey.from_private_bytes(seed), self._leaves()
        log = self.entries[0]["log"]
        for size in filter(sizes, list(self.notes)):
            root = base64.b64encode(record_forge.root(leaves[:size])).decode()
            text = f"{log}\n{size}\n{root}\n"
            self.notes[size] = record_forge.signed_note(text, log, secret)

    def store(self) -> None:
        """Write it back as it is now, with tiles and head to match, triggers and all."""
        leaves = self._leaves()
        forge = record_forge.Forge(leaves=leaves)
        tiles = [(*at, data) for at, data in forge.tiles().items() if len(data) == 8_192]
        head = (1, len(leaves), leaves[-1], record_forge.frontier(leaves), 0)
        with contextlib.closing(sqlite3.connect(self._record, isolation_level=None)) as db:
            schema = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
            triggers = db.execute(schema).fetchall()
            db.execute("BEGIN")
            for name, _ in triggers:
                db.execute(f"DROP TRIGGER {name}")
            for table, rows in (
                ("entries", list(enumerate(map(rfc8785.dumps, self.entries)))),
                ("tiles", tiles),
                ("checkpoints", sorted(self.notes.items())),
                ("epochs", self.epochs),
                ("head", [head]),
            ):
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - fixed names
                for row in rows:
                    marks = ", ".join("?" * len(row))
                    db.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608 - the same
            for _, sql in triggers:
                db.execute(sql)
            db.execute("COMMIT")

    def _leaves(self) -> list[bytes]:
        return [record_forge.leaf(rfc8785.dumps(entry)) for entry in self.entries]
