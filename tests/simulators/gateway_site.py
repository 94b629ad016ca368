"""Ledger and gateway as they are served, before an upstream that answers at once.

The state folder is that of a first start with the demo; only the model's process is replaced
(`fake_upstream.py`). Every caller has an account and a key of its own.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from appliance.assembly import assemble
from appliance.config import load
from appliance.identity.roles import Role
from tests.bench.gateway_client import Endpoint
from tests.simulators.fake_upstream import FakeUpstream
from tests.simulators.stack import APPLIANCE, ROOT, Stack

START_WITHIN_S = 60
PEOPLE = 24  # with four questions each at a time, they can hold 64 streams and ask some more


class GatewaySite:
    """Those processes, from `__enter__` to `__exit__`; `settings` are environment variables."""

    def __init__(
        self, state: Path, *, upstream_port: int = 0, settings: dict[str, str] | None = None
    ) -> None:
        self._stack = Stack.made_before(state)
        self._stack.settings = settings or {}
        self._upstream_port = upstream_port
        self._keys: list[str] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.upstream: FakeUpstream | None = None

    @property
    def address(self) -> str:
        return self._stack.address

    def __enter__(self) -> GatewaySite:
        run = self._stack.state / "run"
        (run / "engines").mkdir(mode=0o700, parents=True, exist_ok=True)
        self._serve("ledger", run / "ledger.add")
        self._make_people()
        digest = next((self._stack.state / "models").glob("*.gguf")).stem
        sockets = [run / "engines" / f"{digest[:16]}.sock", run / "engine.sock"]
        self.upstream = FakeUpstream(digest, sockets, self._upstream_port).start()
        self._serve("gateway")
        self._await_gateway()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for part in ("gateway", "ledger"):
            if part in self._processes:
                self.end(part)
        if self.upstream is not None:
            self.upstream.kill()

    def end(self, part: str) -> int:
        """Ask a part to end and return its exit code."""
        process = self._processes.pop(part)
        process.terminate()
        return process.wait(START_WITHIN_S)

    def endpoints(self, count: int) -> list[Endpoint]:
        """Return so many callers; one person has at most four of them."""
        return [
            Endpoint("127.0.0.1", self._stack.port, self._keys[place % len(self._keys)])
            for place in range(count)
        ]

    def resident_mb(self) -> float:
        """Return the resident memory of the gateway's processes together, in megabytes."""
        return sum(_resident_kb(pid) for pid in self._stack.parts()["gateway"]) / 1024

    def worker(self) -> int:
        """Return the process id of the gateway's worker."""
        return self._stack.parts()["gateway"][-1]

    def record(self) -> list[dict[str, Any]]:
        """Return every entry of the record, oldest first."""
        return self._stack.record()

    def _make_people(self) -> None:
        config = load(self._stack.state, file=self._stack.state / "none", environment={})
        appliance = assemble(config)
        for number in range(PEOPLE):
            user = appliance.people.add(f"nurse{number}", Role.CLINICIAN, "$argon2id$not-used")
            self._keys.append(appliance.people.create_key(user.id, "bench", 1)[1])
        appliance.close()

    def _serve(self, part: str, sign: Path | None = None) -> None:
        words = [str(APPLIANCE), "--state", str(self._stack.state), "serve", part]
        environment = self._stack._environment()
        self._processes[part] = subprocess.Popen(words, cwd=ROOT, env=environment)
        deadline = time.monotonic() + START_WITHIN_S
        while sign is not None and not sign.exists():
            assert time.monotonic() < deadline, f"the {part} did not start"
            time.sleep(0.05)

    def _await_gateway(self) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            try:
                httpx.get(f"{self.address}/healthz", timeout=5)
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the gateway did not start"
                time.sleep(0.1)
            else:
                return


def _resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0
