"""The record as tests look at it: in the file, without leaving an entry by looking."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from tests.cli.conftest import Run

# How many entries `init --demo` leaves.
MADE = 20


def entries(state: Path, action: str) -> list[dict[str, Any]]:
    """Return the entries of this action, oldest first."""
    with sqlite3.connect(state / "audit.db") as database:
        rows = database.execute("SELECT entry FROM entries ORDER BY seq").fetchall()
    database.close()
    return [entry for (data,) in rows if (entry := json.loads(data))["action"] == action]


def newest_key(appliance: Run) -> str:
    """Return the newest verifier key of the record."""
    return str(appliance("audit", "keys", "--json").value[-1]["key"])
