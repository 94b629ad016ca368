"""The ledger as the stack runs it: its files in one folder, the gateway's in another, one socket.

Real processes and the real state of an appliance, parted as `compose/init.sh` parts it. No
containers and no engine: what is looked at is who has which file, and who says what about it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from appliance.audit.client import LedgerClient
from appliance.cli.actor import console_actor
from appliance.config import load
from tests.simulators.command_line import command
from tests.simulators.fresh_state import fresh_state
from tests.simulators.stack import APPLIANCE

WITHIN_S = 30


@dataclass
class PartedState:
    """Two state folders in `folder`, and the ledger between them; `printed` is its output."""

    folder: Path
    ledger_settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        fresh_state(load(self.gateway, file=self.folder / "none", environment={}), console_actor())
        self.ledger.mkdir(mode=0o700)
        self.sockets.mkdir(mode=0o750)
        for path in self.gateway.glob("audit*"):
            shutil.move(path, self.ledger / path.name)

    @property
    def gateway(self) -> Path:
        return self.folder / "gateway"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    @property
    def sockets(self) -> Path:
        return self.folder / "s"

    @property
    def printed(self) -> Path:
        return self.folder / "printed"

    def start(self) -> PartedState:
        """Start `appliance serve ledger` and wait until it answers."""
        with self.printed.open("ab") as printed, (self.folder / "said").open("ab") as said:
            self.process = subprocess.Popen(
                [str(APPLIANCE), "--state", str(self.ledger), "serve", "ledger"],
                env=self._environment("ledger"), stdout=printed, stderr=said,
            )  # fmt: skip
        client = LedgerClient(self.sockets / "ledger.sock")
        until = time.monotonic() + WITHIN_S
        while not client.answers():
            assert self.process.poll() is None, (self.folder / "said").read_text()
            assert time.monotonic() < until, "the ledger does not answer"
            time.sleep(0.05)
        client.close()
        return self

    def stop(self) -> None:
        """Stop it as a container engine does."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WITHIN_S)
            self.process = None

    def lines(self, count: int) -> list[str]:
        """Return what the ledger printed, once there are `count` lines."""
        until = time.monotonic() + WITHIN_S
        while len(lines := self.printed.read_text().splitlines()) < count:
            assert time.monotonic() < until, f"{len(lines)} of {count} lines were printed"
            time.sleep(0.05)
        return lines

    def inside(self, part: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command where `part` has its files and settings."""
        environment = self._environment(part)
        return command(["--state", str(self.folder / part), *words], environment, check=False)

    def given(self, part: str, data: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command there in a process of its own, with `data` on its standard input."""
        return subprocess.run(
            [str(APPLIANCE), "--state", str(self.folder / part), *words],
            env=self._environment(part), input=data, capture_output=True, timeout=120, check=False,
        )  # fmt: skip

    def _environment(self, part: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "APPLIANCE" not in name}
        own = self.ledger_settings if part == "ledger" else {}
        return {
            **kept,
            "APPLIANCE_LEDGER__SOCKET_FOLDER": str(self.sockets),
            "APPLIANCE_AIRGAP__ROLE": part,
            **own,
        }
