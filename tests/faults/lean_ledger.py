"""Starts, loads and kills the ledger of `lean_process.py`, and keeps what it promised."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.audit.client import LedgerClient
from appliance.audit.entry import Event
from appliance.audit.ledger import Receipt
from appliance.errors import ApplianceError, RecordUnavailableError
from tests.unit.audit import samples

ROOT = Path(__file__).parents[2]
DAY_S = 86_400.0


class LeanLedger:
    """One record with its ledger, which runs between `start` and `ended`."""

    def __init__(self, record: Path) -> None:
        self.record = record
        self.socket = record.with_name("ledger.sock")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.lean_process", record, self.socket],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start(
        self, now: float, *, speed: float = 1, sign: bool = False, prune: tuple[int, ...] = ()
    ) -> None:
        """Begin to start it; `now` is what its clock says, `prune` what it lets go of by itself."""
        self._order(json.dumps({"now": now, "speed": speed, "sign": sign, "prune": prune}))
        assert self._next()["what"] == "started"

    def ready(self) -> None:
        """Wait until it takes events; AssertionError with its reason if it refuses to."""
        line = self._next()
        assert line["what"] == "ready", line

    def said(self, what: str | None) -> list[dict[str, Any]]:
        """Wait until it says this; return what it said up to then. None: nothing to wait for."""
        said: list[dict[str, Any]] = []
        while what is not None and (not said or said[-1]["what"] != what):
            said.append(self._next())
            assert said[-1]["what"] != "ended", said
        return said

    def kill(self) -> list[dict[str, Any]]:
        """End it as `kill -9` does, if it has not ended; return what else it had said."""
        self._order("kill")
        return self.ended(-signal.SIGKILL, 0)

    def stop(self) -> list[dict[str, Any]]:
        """End it in good order."""
        self.begin_to_stop()
        return self.ended(0)

    def begin_to_stop(self) -> None:
        """Ask it to end in good order, and do not wait for that."""
        self._order("stop")

    def ended(self, *codes: int) -> list[dict[str, Any]]:
        """Wait for its end; return what it had said since it was ready."""
        said: list[dict[str, Any]] = []
        while not said or said[-1]["what"] != "ended":
            said.append(self._next())
        assert said[-1]["code"] in codes, said
        return said[:-1]

    def close(self) -> None:
        """End the process that forks ledgers, and with it the ledger."""
        self._process.communicate(timeout=20)

    def _order(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line: dict[str, Any] = json.loads(self._process.stdout.readline())
        return line


@dataclass
class Promises:
    """What callers were told: receipts by the event's own name, and names in doubt."""

    receipts: dict[str, Receipt] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)


class Caller(threading.Thread):
    """Appends event after event, each with a name of its own, until the ledger is gone."""

    def __init__(self, socket: Path, name: str) -> None:
        super().__init__(daemon=True)
        self.promises = Promises()
        self.under_way = threading.Event()
        self._socket, self._called = socket, name
        self.start()

    def run(self) -> None:
        with contextlib.closing(LedgerClient(self._socket)) as client:
            for number in range(1_000_000):
                event = samples.event(number, entity=f"{self._called}-{number}")
                if not self._append(client, event):
                    return

    def _append(self, client: LedgerClient, event: Event) -> bool:
        assert event.entity is not None
        try:
            self.promises.receipts[event.entity] = client.append(event)
            self.under_way.set()
        except RecordUnavailableError:
            self.promises.doubtful.add(event.entity)
            return False
        except ApplianceError:
            self.promises.refused.add(event.entity)
            return False
        else:
            return True


@contextlib.contextmanager
def lean(record: Path) -> Iterator[LeanLedger]:
    """A record's ledger for one test."""
    ledger = LeanLedger(record)
    try:
        yield ledger
    finally:
        ledger.close()


def table(record: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Return rows of a record, read by SQLite alone."""
    with contextlib.closing(sqlite3.connect(f"{record.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query, values).fetchall()


def keys_of(record: Path) -> list[str]:
    """Return the names of the private keys that exist, unfinished ones too."""
    return sorted(os.listdir(record.with_suffix(".keys")))
