"""The ledger as it runs in production (gunicorn, one worker, threads, Unix socket), for tests.

Not `appliance serve ledger` itself: this one needs no state folder beyond the record.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from appliance.audit.access import boot_id
from appliance.audit.client import LedgerClient
from appliance.audit.intake import Intake, socket_beside
from appliance.audit.log import Log
from appliance.audit.service import create_app
from appliance.clock import System
from appliance.config import Ledger as Settings

RESERVE_BYTES = 1_048_576


class _Application(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    def __init__(self, record: Path, socket: Path) -> None:
        self._record, self._socket = record, socket
        super().__init__()

    def load_config(self) -> None:
        settings: dict[str, Any] = {
            "bind": f"unix:{self._socket}", "workers": 1, "threads": 64,
            "worker_class": "gthread", "keepalive": 3_600, "loglevel": "error",
            "control_socket_disable": True,
        }  # fmt: skip
        for name, value in settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        # In the worker, after the fork: the log's thread would not survive it.
        settings = Settings(reserve_bytes=RESERVE_BYTES)
        log = Log(self._record, System(), boot_id(), settings)
        Intake(log, socket_beside(self._socket))
        return create_app(log)


class LedgerService:
    """A ledger process of its own over an existing record."""

    def __init__(self, record: Path, socket: Path) -> None:
        self.record, self.socket = record, socket
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> LedgerService:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.simulators.ledger_service", self.record, self.socket],
            cwd=Path(__file__).parents[2],
        )
        client = LedgerClient(self.socket)
        until = time.monotonic() + 20
        while not client.answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError("the ledger did not start")
            time.sleep(0.02)
        client.close()
        return self

    def worker_pid(self) -> int:
        assert self._process is not None
        pid = self._process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None


if __name__ == "__main__":
    _Application(Path(sys.argv[1]), Path(sys.argv[2])).run()
