"""Turns at the recorder: whoever finds it free writes, for all who wait by then.

A caller that comes alone writes by itself, so an append costs no change of threads. Those who
come meanwhile wait; the first of them writes next, for all of them together (group commit), so
that many share the price of one fsync. A thread of its own does only what is due when nothing
happens.

Not here: what is written, and how (`recorder.py`).
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from appliance.audit import store
from appliance.audit.entry import Event
from appliance.audit.ledger import Receipt
from appliance.audit.recorder import Recorder
from appliance.errors import ApplianceError, RecordUnavailableError

T = TypeVar("T")
QUIET_S = 1.0


class _Waiting:
    """Something for the recorder; `done` is released when `results` are there.

    Either events, which share a commit with others, or one `job` of another kind. `leads` says
    that it is not done: whoever waits for it is to write now.
    """

    __slots__ = ("done", "error", "events", "job", "leads", "results")

    def __init__(
        self, events: Sequence[Event] = (), job: Callable[[Recorder], object] | None = None
    ) -> None:
        self.events, self.job = events, job
        self.results: list[Any] | None = None
        self.error: ApplianceError | None = None
        self.leads = False
        # A bare lock wakes a thread faster than threading.Event, which builds on a condition.
        self.done = threading.Lock()
        self.done.acquire()


class Writing:
    """The one way to a recorder, which one thread at a time may use. Any thread may call."""

    def __init__(self, recorder: Recorder, check: Callable[[], None], max_group: int) -> None:
        """`check` raises when nothing must be written now; it is asked before each group."""
        self._recorder, self._check, self._max_group = recorder, check, max_group
        self._gate = threading.Lock()  # held for a moment only, never while something is written
        self._line: deque[_Waiting] = deque()
        self._busy = False
        self._idle = threading.Condition(self._gate)
        self._closed = False
        self._worked = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._rest, name="record", daemon=True)
        self._thread.start()

    def append(self, events: Sequence[Event]) -> list[Receipt | ApplianceError]:
        """Return for each event its receipt once it is durable, or the error that stopped it."""
        return self._wait_for(_Waiting(events))

    def run(self, job: Callable[[Recorder], T]) -> T:
        """Return what `job` does with the recorder."""
        [result] = self._wait_for(_Waiting(job=job))
        return cast("T", result)

    def close(self) -> None:
        """Let those who wait have their turn, then refuse all others; safe to repeat."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: not self._busy)
        self._stop.set()
        self._thread.join()

    def _wait_for(self, waiting: _Waiting) -> list[Any]:
        try:
            self._stand_in_line(waiting)
            if not waiting.leads:
                waiting.done.acquire()
        except BaseException:
            self._leave(waiting)
            raise
        if waiting.leads:
            self._lead()
        if waiting.error is not None:
            raise waiting.error
        return waiting.results or []

    def _stand_in_line(self, waiting: _Waiting) -> None:
        with self._gate:
            if self._closed:
                raise RecordUnavailableError("nothing was recorded: the record is being closed")
            self._line.append(waiting)
            waiting.leads = not self._busy
            self._busy = True

    def _leave(self, waiting: _Waiting) -> None:
        """Stand in line no longer (Ctrl+C in a command): nobody may wait for who is not there."""
        with self._gate, contextlib.suppress(ValueError):  # it is not in line, or no longer
            self._line.remove(waiting)
        if waiting.leads:
            self._hand_on()

    def _lead(self) -> None:
        """Write for all who wait, oneself among them, and let the next one go on."""
        group = self._group()
        try:
            self._settle(group)
        finally:
            # Interrupted in the middle (Ctrl+C in a command): nobody may wait for ever.
            for waiting in group:
                if waiting.results is None and waiting.error is None:
                    waiting.error = RecordUnavailableError(
                        "writing was interrupted; whether this was recorded is not known"
                    )
            for waiting in group[1:]:
                waiting.done.release()
            self._hand_on()

    def _group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        events = 0
        with self._gate:
            while self._line and events < self._max_group:
                group.append(self._line.popleft())
                events += len(group[-1].events)
        return group

    def _hand_on(self) -> None:
        with self._idle:
            self._worked = True
            if self._line:
                self._line[0].leads = True
                self._line[0].done.release()
            else:
                self._busy = False
                self._idle.notify_all()

    def _settle(self, group: Sequence[_Waiting]) -> None:
        appending = [waiting for waiting in group if waiting.job is None]
        if appending:
            self._append(appending)
        for waiting in group:
            if waiting.job is not None:
                self._do(waiting, waiting.job)

    def _append(self, group: Sequence[_Waiting]) -> None:
        events = [event for waiting in group for event in waiting.events]
        results: list[Receipt | ApplianceError]
        try:
            self._check()
            results = self._recorder.record(events)
        except ApplianceError as error:
            results = [error for _ in events]
        except Exception as error:
            results = [RecordUnavailableError(f"nothing was recorded: {error!r}") for _ in events]
        place = 0
        for waiting in group:
            waiting.results = results[place : place + len(waiting.events)]
            place += len(waiting.events)

    def _do(self, waiting: _Waiting, job: Callable[[Recorder], object]) -> None:
        try:
            self._check()
            with store.translated():
                waiting.results = [job(self._recorder)]
        except ApplianceError as error:
            waiting.error = error
        except Exception as error:
            waiting.error = RecordUnavailableError(f"nothing was done: {error!r}")

    def _rest(self) -> None:
        while not self._stop.wait(QUIET_S):
            if self._worked:
                self._worked = False
                continue
            # Whatever goes wrong in a quiet second must not end this thread.
            with contextlib.suppress(Exception):
                self.run(lambda recorder: recorder.rest())
            self._worked = False
