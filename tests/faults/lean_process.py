"""A ledger that starts in milliseconds, for tests that kill it hundreds of times.

Run as `python -m tests.faults.lean_process RECORD SOCKET` it loads everything once and then forks
a ledger for each line of JSON on its standard input, one at a time; a line `kill` or `stop` ends
it. Standard output has one line of JSON for everything that happened: `started`, `ready`,
`signed`, `pruned`, `refused`, `ended`.
What is forked is the real `Log` behind the real `Intake`; gunicorn and Flask are left out.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from appliance.audit import recorder
from appliance.audit.access import boot_id
from appliance.audit.entry import Agent
from appliance.audit.intake import Intake, socket_beside
from appliance.audit.log import Log
from appliance.clock import System
from appliance.config import Ledger as Settings
from appliance.errors import ApplianceError, BadInputError

RESERVE_BYTES = 65_536
SETTINGS = Settings(reserve_bytes=RESERVE_BYTES)
# Several transactions for each pruning, so that a kill falls between them too.
PRUNE_AT_ONCE = 32
OPERATOR = Agent("os:test", "console", "os")
SIGNALS = {b"kill\n": signal.SIGKILL, b"stop\n": signal.SIGTERM}


class HurriedClock(System):
    """The machine's clock, set to `start`, and from then on `speed` times as fast."""

    def __init__(self, start: float, speed: float) -> None:
        self._start, self._speed, self._began = start, speed, time.monotonic()

    def now(self) -> float:
        return self._start + self._speed * (time.monotonic() - self._began)


def say(what: str, **facts: Any) -> None:
    """Write one line that comes out whole, also if this process is killed right after."""
    os.write(1, json.dumps({"what": what, **facts}).encode() + b"\n")


def sign_all_the_time(log: Log) -> None:
    """Hand out one checkpoint after the other; each was promised to somebody."""
    while True:
        try:
            say("signed", note=log.checkpoint())
        except ApplianceError:
            time.sleep(0.001)  # nothing is recorded yet


def prune(log: Log, below: list[int]) -> None:
    """Let go of one prefix after the other."""
    for before in below:
        with contextlib.suppress(BadInputError):  # an earlier round was there already
            log.prune(before, OPERATOR, None, "six years are over")
        say("pruned", before=before)


def serve(record: Path, socket: Path, wish: dict[str, Any]) -> None:
    """Be a ledger until killed, or until SIGTERM, which ends it in good order."""
    stopping = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    clock = HurriedClock(wish["now"], wish["speed"])
    try:
        log = Log(record, clock, boot_id(), SETTINGS)
    except ApplianceError as error:
        say("refused", why=error.message)
        return
    intake = Intake(log, socket_beside(socket))
    say("ready")
    if wish["sign"]:
        threading.Thread(target=sign_all_the_time, args=(log,), daemon=True).start()
    if wish["prune"]:
        threading.Thread(target=prune, args=(log, wish["prune"]), daemon=True).start()
    signal.sigwait([signal.SIGTERM])
    signal.pthread_sigmask(signal.SIG_SETMASK, stopping)
    intake.close()
    log.close()


def wait_for(child: int, orders: io.FileIO) -> int:
    """Send the child the signals that are ordered; return its exit code once it has ended.

    Should the tests be gone first, the child goes too.
    """
    handle = os.pidfd_open(child)
    watched = [handle, orders.fileno()]
    while handle not in select.select(watched, [], [])[0]:
        order = SIGNALS.get(orders.readline(), signal.SIGKILL)
        signal.pidfd_send_signal(handle, order)
    os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(record: Path, socket: Path) -> None:
    recorder.PRUNE_AT_ONCE = PRUNE_AT_ONCE
    orders = io.FileIO(0)
    while line := orders.readline():
        if line in SIGNALS:  # the child had just ended by itself
            continue
        child = os.fork()
        if child == 0:
            try:
                serve(record, socket, json.loads(line))
            finally:
                os._exit(0)
        say("started", pid=child)
        say("ended", code=wait_for(child, orders))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
