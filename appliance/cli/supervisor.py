"""Starts the three programs, restarts what dies, stops them in the right order.

Where `engine.kind` names an engine of somebody else, there are two: nobody's engine is started.

A part that dies is back within seconds; the others run on. A part that refuses to start the
first time (a record that was altered, say) stops everything: its reason is the reason.
Not here: whether a part is wedged while alive.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.config import Config
from appliance.errors import ApplianceError

ORDER = ("ledger", "engine", "gateway")
OWN_ENGINE = "llama"
TELL_EVERY_S = 5.0
BUSY_WITH = {
    "ledger": "it verifies the whole record before it takes a new entry",
    "engine": "it is starting",
    "gateway": "it is closing what an earlier crash left open",
}
STOP_WITHIN_S = 10.0
LOOK_EVERY_S = 0.1
BACKOFF_S = (0.0, 0.2, 0.5, 1.0, 2.0)
HEALTHY_AFTER_S = 10.0


class PartRefusedError(ApplianceError):
    """A part said why it will not start; `exit_code` is what it ended with."""

    code = "part_refused"
    hint = "its own message, above, says what to do"

    def __init__(self, part: str, exit_code: int) -> None:
        super().__init__(f"the {part} refused to start; nothing is running now")
        self.exit_code = exit_code


@dataclass
class Part:
    """One program: its process, when it was started, how often it failed in a row."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    restart_at: float = field(default=0.0)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Runs the parts of one state folder until told to stop; `say` prints a line for people."""

    def __init__(self, config: Config, say: Callable[[str], None]) -> None:
        self._config = config
        self._say = say
        # An engine of somebody else is started by whoever runs it; the gateway only asks it.
        is_ours = config.engine.kind == OWN_ENGINE
        self._parts = [Part(name) for name in ORDER if is_ours or name != "engine"]
        self.stopping = False

    def start(self) -> None:
        """Start the parts and wait until each answers; raises PartRefusedError if one will not.

        The gateway comes last, since it opens by writing into the record. Ledger and engine know
        nothing of each other and start side by side.
        """
        ledger, *engine, gateway = self._parts
        for part in (ledger, *engine):
            self._spawn(part)
        self._wait_ready(ledger)
        self._spawn(gateway)
        for part in (gateway, *engine):
            self._wait_ready(part)

    def watch(self) -> None:
        """Restart what dies, until `request_stop` is called."""
        while not self.stopping:
            for part in self._parts:
                self._look_after(part)
            time.sleep(LOOK_EVERY_S)

    def request_stop(self, *_signal: object) -> None:
        """End `watch` at its next look; safe in a signal handler."""
        self.stopping = True

    def stop(self) -> None:
        """Stop gateway, engine and ledger in this order: the last outcome is still recorded."""
        for part in reversed(self._parts):
            if part.alive():
                self._end(part)

    def _spawn(self, part: Part) -> None:
        # -P: a folder `appliance` where the command was typed must not be run.
        program = [sys.executable, "-P", "-m", "appliance.cli.main"]
        command = [*program, "--state", str(self._config.state)]
        part.process = subprocess.Popen(
            [*command, "serve", part.name, "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            # Ctrl+C is for the supervisor alone: it stops the parts in order.
            start_new_session=True,
        )
        part.started = time.monotonic()

    def _wait_ready(self, part: Part) -> None:
        tell = time.monotonic() + TELL_EVERY_S
        while not answers(self._config, part.name):
            if self.stopping:
                return
            if not part.alive() and part.process is not None:
                raise PartRefusedError(part.name, part.process.returncode)
            if time.monotonic() > tell:
                self._say(f"still waiting for the {part.name}: {BUSY_WITH[part.name]}")
                tell += TELL_EVERY_S
            time.sleep(LOOK_EVERY_S / 2)

    def _look_after(self, part: Part) -> None:
        now = time.monotonic()
        if part.alive() and self._unreachable(part, now):
            self._say(f"the socket of the {part.name} is gone; starting it again")
            self._end(part)
        if part.alive():
            if part.failures and now - part.started > HEALTHY_AFTER_S:
                part.failures = 0
            return
        if part.process is not None:
            self._schedule(part, part.process.returncode, now)
            part.process = None
        if now >= part.restart_at:
            self._spawn(part)

    def _unreachable(self, part: Part, now: float) -> bool:
        """Tell whether nobody can reach a part any more, because its socket was removed."""
        if part.name == "gateway" or now - part.started < HEALTHY_AFTER_S:
            return False
        return not socket_of(self._config, part.name).exists()

    def _end(self, part: Part) -> None:
        if part.process is None:
            return
        part.process.terminate()
        try:
            part.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._say(f"the {part.name} did not stop in time and was ended")
            part.process.kill()
            part.process.wait()

    def _schedule(self, part: Part, code: int, now: float) -> None:
        delay = BACKOFF_S[min(part.failures, len(BACKOFF_S) - 1)]
        part.failures += 1
        part.restart_at = now + delay
        self._say(f"the {part.name} ended ({ended(code)}); starting it again")


def ended(code: int) -> str:
    """Return an exit code in words: `signal SIGKILL`, `exit code 3`."""
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def answers(config: Config, part: str) -> bool:
    """Tell whether a part answers its health page."""
    connection = (
        http.client.HTTPConnection(config.gateway.host, config.gateway.port, timeout=2)
        if part == "gateway"
        else UnixConnection(socket_of(config, part))
    )
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/healthz")
        return connection.getresponse().status < 500
    return False


def socket_of(config: Config, part: str) -> Path:
    """Return where the ledger or the engine listens."""
    return config.paths.ledger_socket if part == "ledger" else config.paths.engine_socket


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=2)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
