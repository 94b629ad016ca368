"""What the gateway does by itself: missing outcomes, the models, what is due, every minute.

And every few seconds, in a thread of its own, what the engine did by itself. A minute without the
record loses nothing: the next one tries again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from appliance.errors import ApplianceError, fault_of
from appliance.operations import Operations

log = structlog.get_logger(__name__)

EVERY_S = 60.0
SOON_S = 5.0
FIRST_AFTER_S = 5.0


class Caretaker:
    """Threads that look after open ends until `stop`."""

    def __init__(self, operations: Operations, every_s: float = EVERY_S) -> None:
        self._operations = operations
        self._every_s = every_s
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("caretaker", self._run), ("incidents", self._run_soon))
        ]

    def start(self) -> None:
        """Begin; to be called in the process that serves, since threads do not survive a fork."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and record what was only counted so far."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
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
            # Takes a few seconds once a day.
            ("airgap", verbs.airgap.run_due),
            # Last: it speaks to places that may not answer for a while.
            ("anchors", verbs.anchor_round.run_due),
        ):
            _try(name, step)

    def _run(self) -> None:
        wait = FIRST_AFTER_S
        while not self._stopping.wait(min(wait, self._every_s)):
            wait = self._every_s
            self.look_after()

    def _run_soon(self) -> None:
        while not self._stopping.wait(min(SOON_S, self._every_s)):
            _try("incidents", self._operations.incidents.note)


def _try(name: str, step: Callable[[], object]) -> None:
    try:
        step()
    except ApplianceError as error:
        log.warning("this waits for the next time", what=name, code=error.code)
    except Exception as error:
        # These threads run the schedules: nothing unforeseen may end one for good.
        log.error("this waits for the next time", what=name, fault=fault_of(error))
