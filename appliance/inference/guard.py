"""Watches one model's process: looks at its status, and lets it write a real token on a schedule.

Guarantee: nobody else ever waits for this; the verdict is one attribute that the owner of the
process reads, and `threads` is one that the owner sets: how many the process is to compute with.
A test holds at most one place in the process's queue, under a name of its own.
Not here: when a process counts as wedged (`watchdog`), what is done then (`seats`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress

from appliance.errors import ApplianceError
from appliance.inference.engine import (
    Delta,
    Engine,
    EngineStatus,
    Finished,
    Generation,
    Message,
    Sampling,
)
from appliance.inference.watchdog import Pace, Watch

PERSON = "watchdog"
PROMPT = (Message("user", "Hello"),)


class Guard:
    """Two threads over one process: one looks, one waits for the token."""

    def __init__(
        self,
        engine: Engine,
        digest: str,
        pace: Pace,
        use_threads: Callable[[int], None] = lambda count: None,
    ) -> None:
        """`engine` is closed by its owner when the process ends, and that ends the waiting."""
        self._engine = engine
        self._request = Generation(
            digest, PROMPT, Sampling(max_tokens=1, temperature=0.0), person=PERSON
        )
        self._pace = pace
        self._watch = Watch(pace)
        self._stopping = threading.Event()
        self._test: threading.Thread | None = None
        self._got_token = False
        self.verdict: str | None = None
        self._use_threads = use_threads
        self._uses: int | None = None
        self.threads: int | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="guard", daemon=True).start()

    def stop(self) -> None:
        """Look no more and take back a test that waits; returns at once."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._pace.look):
            status = self._engine.status()
            if self._stopping.is_set():
                return
            self._note_test()
            self._tell_threads(status)
            self.verdict = self._watch.look(time.monotonic(), status)
            if self.verdict is not None:
                return
            if self._test is None and self._watch.is_due(time.monotonic()):
                self._begin()

    def _tell_threads(self, status: EngineStatus) -> None:
        wanted = self.threads
        if wanted is None or wanted == self._uses or status.state == "down":
            return
        # One that cannot change them goes on as it began, which is slower and not wrong.
        with suppress(ApplianceError):
            self._use_threads(wanted)
        self._uses = wanted

    def _begin(self) -> None:
        self._watch.began(time.monotonic())
        self._got_token = False
        self._test = threading.Thread(target=self._await_token, name="probe", daemon=True)
        self._test.start()

    def _note_test(self) -> None:
        """Take in how a test has ended, if it has."""
        if self._test is None or self._test.is_alive():
            return
        self._test = None
        note = self._watch.wrote if self._got_token else self._watch.failed
        note(time.monotonic())

    def _await_token(self) -> None:
        # An error of any kind is no token, and that is all there is to know here.
        with suppress(ApplianceError), closing(self._engine.generate(self._request)) as steps:
            for step in steps:
                if self._stopping.is_set():
                    return
                if isinstance(step, Finished) or (isinstance(step, Delta) and step.text):
                    self._got_token = True
                    return
