"""Events and records for the tests of the ledger, and what an attacker can do to a file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from appliance.audit.actions import Outcome
from appliance.audit.anchors import Places, folder_beside
from appliance.audit.entry import Agent, Event, ModelRef
from appliance.audit.log import Log
from appliance.audit.query import Query
from appliance.clock import Clock, System
from appliance.config import Ledger as Settings

BOOT = "3f1b6c1e-0000-4000-8000-000000000001"
RESERVE_BYTES = 1_048_576
SETTINGS = Settings(reserve_bytes=RESERVE_BYTES, max_group=512)
ORIGIN = "ward"
WIDTH = 256
MORNING = 1_769_852_000.0  # 2026-01-31T09:33:20Z


class SameDay(System):
    """A clock that goes, and always begins on the same day: at midnight a key would change."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def now(self) -> float:
        return MORNING + time.monotonic() - self._start


class SetClock:
    """A clock that goes only when the test says so."""

    def __init__(self, seconds: float = MORNING) -> None:
        self.seconds = seconds
        self.ns = 1_000_000_000

    def now(self) -> float:
        return self.seconds

    def monotonic_ns(self) -> int:
        return self.ns

    def go(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        self.ns += int(seconds * 1e9)


def event(number: int = 0, **changes: Any) -> Event:
    """Return a plausible answer event that says which one it is in `entity`."""
    fields: dict[str, Any] = {
        "action": "answer.complete",
        "outcome": Outcome.SUCCESS,
        "agent": Agent(f"usr_{number % 7}", "clinician", "password"),
        "source": "10.1.2.3",
        "entity": f"msg_{number:08d}",
        "purpose": "treatment",
        "model": ModelRef("demo", "1.0", "a" * 64),
        "tokens": {"prompt": 12, "answer": 34},
        "latency_ms": 1234,
        "policy": "model-active-and-allowed",
        "content": {"sha256": "b" * 64, "bytes": 1024, "key": "key_1", "commitment": "c" * 64},
    }
    return Event(**{**fields, **changes})


def make(folder: Path, count: int = 0, clock: Clock | None = None) -> Path:
    """Create a record with `count` events in a folder, closed again, and return its path."""
    path = folder / "audit.db"
    Log.create(path, ORIGIN, RESERVE_BYTES)
    if count:
        log = opened(path, clock=clock)
        fill(log, count)
        log.close()
    return path


def fill(log: Log, count: int) -> None:
    """Append `count` events, many to a commit."""
    for start in range(0, count, 500):
        log.append_many([event(number) for number in range(start, min(start + 500, count))])


def opened(path: Path, settings: Settings = SETTINGS, clock: Clock | None = None) -> Log:
    """Open a record for writing, as the ledger does."""
    return Log(path, clock or SameDay(), BOOT, settings)


def rows(path: Path) -> list[tuple[int, bytes, bytes]]:
    """Return (seq, entry, leaf hash) of all entries, read without the code under test."""
    return [
        (seq, data, leaf(data))
        for seq, data in read(path, "SELECT seq, entry FROM entries ORDER BY seq")
    ]


def read(path: Path, sql: str) -> list[Any]:
    """Return what a query finds in a record, without the code under test."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def snapshot(path: Path, to: Path) -> Path:
    """Copy a record while it is open: what no checkpoint covers yet stays uncovered."""
    source, copy = sqlite3.connect(path), sqlite3.connect(to)
    source.backup(copy)
    source.close()
    copy.close()
    return to


def leaf(data: bytes) -> bytes:
    """Return the leaf hash of an entry, without the code under test."""
    return hashlib.sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: list[bytes]) -> bytes:
    """Return the root of a tree as RFC 9162 defines it: recursively, and slowly."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node(root(leaves[:split]), root(leaves[split:]))


def attack(path: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """Change a record as someone who can write the file: triggers off, changed, triggers back."""
    connection = sqlite3.connect(path, isolation_level=None)
    triggers = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
    ).fetchall()
    connection.execute("BEGIN")
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for sql, values in statements:
        connection.execute(sql, values)
    for _, sql in triggers:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.close()


def encoded(value: dict[str, Any]) -> bytes:
    """Return the canonical form of an entry of plain ASCII without floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def reword(path: Path, number: int, /, **changes: Any) -> None:
    """Change what one entry states, and nothing else."""
    [(data,)] = read(path, f"SELECT entry FROM entries WHERE seq = {number}")  # noqa: S608 - a number
    changed = encoded({**json.loads(data), **changes})
    attack(path, ("UPDATE entries SET entry = ? WHERE seq = ?", (changed, number)))


def rewrite(path: Path, first: int, /, **changes: Any) -> None:
    """Change what one entry states, then make every hash after it anew: links, tiles, head.

    The best that someone without the key can do; the checkpoints stay as they were signed.
    """
    entries = dict(read(path, "SELECT seq, entry FROM entries"))
    entries[first] = encoded({**json.loads(entries[first]), **changes})
    for number in range(first + 1, len(entries)):
        value = {**json.loads(entries[number]), "prev": leaf(entries[number - 1]).hex()}
        entries[number] = encoded(value)
    statements: list[tuple[str, tuple[Any, ...]]] = [
        ("UPDATE entries SET entry = ? WHERE seq = ?", (entries[number], number))
        for number in range(first, len(entries))
    ]
    leaves = [leaf(entries[number]) for number in range(len(entries))]
    tiles = "UPDATE tiles SET hashes = ? WHERE level = ? AND idx = ?"
    level, hashes = 0, leaves
    while len(hashes) >= WIDTH:
        full = [hashes[at : at + WIDTH] for at in range(0, len(hashes) - WIDTH + 1, WIDTH)]
        statements += [(tiles, (b"".join(tile), level, idx)) for idx, tile in enumerate(full)]
        level, hashes = level + 1, [root(tile) for tile in full]
    frontier, start = b"", 0
    for bit in reversed(range(len(leaves).bit_length())):
        if len(leaves) >> bit & 1:
            frontier += root(leaves[start : start + (1 << bit)])
            start += 1 << bit
    statements.append(("UPDATE head SET leaf = ?, frontier = ?", (leaves[-1], frontier)))
    attack(path, *statements)


ANY = Query()


def places(record: Path, *elsewhere: Path) -> Places:
    """Return where anchors of a record lie: beside it, and in these folders."""
    return Places(folder_beside(record), elsewhere)
