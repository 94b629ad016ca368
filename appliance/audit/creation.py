"""Makes audit.db, once: `appliance init` alone does it, because a missing record is a finding."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from appliance import durable
from appliance.audit import schema
from appliance.audit.chain import EMPTY
from appliance.audit.store import translated
from appliance.errors import ConflictError


def create(path: Path, log_id: str, key: str) -> None:
    """Make an empty record whose first verifier key is `key`; durable, or not there at all.

    Raises ConflictError when there is a record.
    """
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
            for statement in schema.SCHEMA.values():
                connection.execute(statement)
            meta = {"log": log_id, "schema": schema.VERSION, "key": key}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            connection.execute("INSERT INTO head VALUES (1, 0, ?, ?, 0)", (EMPTY.leaf, b""))
            connection.execute("INSERT INTO epochs VALUES (0, NULL, ?)", (key,))
            connection.execute("COMMIT")
        _sync(temporary)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    durable.sync_folder(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
