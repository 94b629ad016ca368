"""Events and records for the tests of the ledger."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from appliance.audit.actions import Outcome
from appliance.audit.entry import Agent, Event, ModelRef
from appliance.audit.log import Log
from appliance.audit.query import Query
from appliance.clock import System
from appliance.config import Ledger as Settings

BOOT = "3f1b6c1e-0000-4000-8000-000000000001"
RESERVE_BYTES = 1_048_576
SETTINGS = Settings(reserve_bytes=RESERVE_BYTES, max_group=512)


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


def make(folder: Path, count: int = 0) -> Path:
    """Create a record with `count` events in a folder, closed again, and return its path."""
    path = folder / "audit.db"
    Log.create(path, "ward", RESERVE_BYTES)
    if count:
        log = opened(path)
        for number in range(count):
            log.append(event(number))
        log.close()
    return path


def opened(path: Path, settings: Settings = SETTINGS) -> Log:
    """Open a record for writing, as the ledger does."""
    return Log(path, System(), BOOT, settings)


def rows(path: Path) -> list[tuple[int, bytes, bytes]]:
    """Return (seq, entry, leaf) of all entries, read without the code under test."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT seq, entry, leaf FROM entries ORDER BY seq").fetchall()
    finally:
        connection.close()


def attack(path: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """Change a record as someone who can write the file: triggers off, changed, triggers back."""
    connection = sqlite3.connect(path, isolation_level=None)
    triggers = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for sql, values in statements:
        connection.execute(sql, values)
    for _, sql in triggers:
        connection.execute(sql)
    connection.close()


ANY = Query()
