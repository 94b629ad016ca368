"""A record that lives through days in moments, and a witness in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.log import Log
from appliance.audit.witness_client import WitnessClient
from appliance.operations.witnessing import Cosigned, Witnessing
from tests.simulators.manual_clock import ManualClock
from tests.simulators.stack import APPLIANCE, free_port
from tests.unit.audit import samples

DAY = 86_400.0
WITHIN_S = 30


@dataclass
class Site:
    """A record with a clock of its own, in one folder."""

    folder: Path
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.path = samples.make(self.folder)
        self.log = self.open()

    def open(self) -> Log:
        return Log(self.path, self.clock, samples.BOOT, samples.SETTINGS)

    def grow(self, count: int, first: int = 0) -> Site:
        for number in range(first, first + count):
            self.log.append(samples.event(number))
        return self

    def live(self, days: int, entries: int = 3) -> Site:
        """Let days pass, each with a few entries, so that each has its key."""
        for _ in range(days):
            self.clock.advance(DAY)
            self.grow(entries)
        return self

    def ask(self, witness: Serving) -> Cosigned:
        """Have the newest checkpoint signed."""
        with WitnessClient(witness.address) as client:
            return Witnessing(self.log, witness.key).over_http(client)


@dataclass
class Serving:
    """`appliance audit witness serve` over a folder of its own."""

    folder: Path
    key: VerifierKey
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Serving:
        log = (self.folder.parent / "witness.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [
                    str(APPLIANCE), "audit", "witness", "serve",
                    "--listen", f"127.0.0.1:{self.port}", "--witness-state", str(self.folder),
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        until = time.monotonic() + WITHIN_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{self.address}/keys", trust_env=False)
                return self
            assert time.monotonic() < until, self.said()
            time.sleep(0.05)

    def said(self) -> str:
        return (self.folder.parent / "witness.log").read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(WITHIN_S)

    def kill(self) -> None:
        """Kill the worker and the master at once, as a power cut does."""
        assert self.process is not None
        pid = self.process.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, workers)):
            os.kill(each, signal.SIGKILL)
        self.process.wait(WITHIN_S)

    def post(self, path: str, body: bytes) -> httpx.Response:
        return httpx.post(f"{self.address}/{path}", content=body, trust_env=False)


def replace_folder(site: Site, folder: Path) -> Site:
    """Return the same site over another copy of its record."""
    other = object.__new__(Site)
    other.folder, other.clock = folder, site.clock
    other.path = folder / site.path.name
    other.log = other.open()
    return other
