"""What the gateway does by itself every minute: missing outcomes, the model, what is due.

A minute without the record loses nothing: the next one tries again.
"""

from __future__ import annotations

import threading

import structlog

from appliance.errors import ApplianceError, fault_of
from appliance.operations import Operations

log = structlog.get_logger(__name__)

EVERY_S = 60.0
FIRST_AFTER_S = 5.0


class Caretaker:
    """A thread that looks after open ends until `stop`."""

    def __init__(self, operations: Operations, every_s: float = EVERY_S) -> None:
        self._operations = operations
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="caretaker", daemon=True)

    def start(self) -> None:
        """Begin; to be called in the process that serves, since threads do not survive a fork."""
        self._thread.start()

    def stop(self) -> None:
        """End, and record what was only counted so far."""
        self._stopping.set()
        self._thread.join()
        self._operations.refusals.flush(everything=True)

    def look_after(self) -> None:
        """Do what is due once; what fails is logged and waits, and keeps nothing else waiting."""
        verbs = self._operations
        for name, step in (
            ("refusals", verbs.refusals.flush),
            ("answers", lambda: verbs.asking.reconcile(older_than_s=self._every_s)),
            ("publishers", verbs.trusting.settle),
            ("model", verbs.activation.note_loading),
            ("retention", verbs.retention.run_due),
            # Last: it speaks to places that may not answer for a while.
            ("anchors", verbs.anchor_round.run_due),
        ):
            try:
                step()
            except ApplianceError as error:
                log.warning("this waits for the next minute", what=name, code=error.code)
            except Exception as error:
                # This thread runs the schedules: nothing unforeseen may end it for good.
                log.error("this waits for the next minute", what=name, fault=fault_of(error))

    def _run(self) -> None:
        wait = FIRST_AFTER_S
        while not self._stopping.wait(min(wait, self._every_s)):
            wait = self._every_s
            self.look_after()
