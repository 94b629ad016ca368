"""Prints the record's checkpoints on standard output, for whoever keeps this process's output.

The ledger of the stack has no network. The container engine keeps what it prints, the host hands
it on (`compose/checkpoints.sh`), and so checkpoints leave the machine without a way out for any
container. One line whenever the record grew, at most one a minute, and one at the end; the first
of each day is recorded.

Guarantee: nobody waits for it. A line that nobody takes from the pipe holds up this thread alone.
It proves that a line was written, not that anybody kept it, and says so wherever it is told.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import structlog

from appliance.audit import syslog_anchor
from appliance.audit.actions import Outcome
from appliance.audit.checkpoint import Checkpoint, SignedCheckpoint
from appliance.audit.entry import Agent, Event
from appliance.audit.log import Log
from appliance.clock import Clock, rfc3339
from appliance.errors import ApplianceError

log = structlog.get_logger(__name__)

KIND = "console"
EVERY_S = 60.0
# Each attempt that fails is in the record; an output that stays closed must not fill it.
AGAIN_S = 3_600.0
STOP_WITHIN_S = 2.0
AGENT = Agent(user="system:anchors", role="system", method="internal")
STDOUT = 1


def _to_stdout(line: bytes) -> None:
    # One write of less than PIPE_BUF (4,096 bytes): no other line gets into the middle of it.
    os.write(STDOUT, line)


class Printer:
    """Prints until `stop`; to be started in the process that serves."""

    def __init__(
        self,
        record: Log,
        clock: Clock,
        write: Callable[[bytes], object] = _to_stdout,
        every_s: float = EVERY_S,
    ) -> None:
        self._record, self._clock, self._write, self._every_s = record, clock, write, every_s
        self._printed, self._day = 0, ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)
        record.note_printed(0, None)

    def start(self) -> None:
        """Begin: the first line comes at once, as soon as the record holds anything."""
        self._thread.start()

    def stop(self) -> None:
        """Print the last one, and return after a few seconds whatever happens to it."""
        self._stopping.set()
        self._thread.join(STOP_WITHIN_S)

    def print_due(self) -> bool:
        """Print the newest checkpoint if the record grew; tell whether it did."""
        if self._record.head().size == self._printed:
            return False
        today = rfc3339(self._clock.now())[:10]
        if today == self._day:
            self._print()
            return True
        self._note(Outcome.INTENT)
        try:
            point = self._print()
        except (ApplianceError, OSError) as error:
            self._note(Outcome.FAILURE, code=_code(error))
            raise
        self._day = today
        self._note(Outcome.SUCCESS, **point.facts())
        return True

    def _print(self) -> Checkpoint:
        note = self._record.checkpoint()
        point = SignedCheckpoint.parse(note).checkpoint
        self._write(f"{syslog_anchor.words(point, note)}\n".encode())
        self._printed = point.size
        self._record.note_printed(point.size, rfc3339(self._clock.now()))
        return point

    def _note(self, outcome: Outcome, **facts: int | str) -> None:
        content = {"kind": KIND, **facts}
        self._record.append(Event("record.anchor", outcome, AGENT, content=content))

    def _run(self) -> None:
        while True:
            # Looked at before, so that what came while the last one was printed is printed too.
            is_last, wait = self._stopping.is_set(), self._every_s
            try:
                self.print_due()
            except (ApplianceError, OSError) as error:
                log.warning("no checkpoint was printed; it is tried again", code=_code(error))
                wait = AGAIN_S
            if is_last:
                return
            self._stopping.wait(wait)


def _code(error: ApplianceError | OSError) -> str:
    return error.code if isinstance(error, ApplianceError) else "output_closed"
