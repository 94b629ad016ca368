"""Work that takes minutes goes on after its page was answered.

One piece of work per key at a time: starting it again while it runs, from a second tab or by a
second press, joins the first. How it ended stays known until the next start. The work itself is
an operation, so its intent and its outcome are recorded whether or not anybody looks.
Not here: survival of a restart. The record then shows an intent without an outcome.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError

import structlog

from appliance.errors import ApplianceError, fault_of

log = structlog.get_logger(__name__)

KEPT = 256
FAULT = "something went wrong on the appliance"


class Task:
    """One piece of work: `running`, then perhaps an `error`; `done` and `total` as it reports.

    `what` tells apart the works that share a key, where any of several may hold it.
    """

    def __init__(self, what: str = "") -> None:
        self.what = what
        self.progress: tuple[int, int] | None = None
        self._ended: Future[ApplianceError | None] = Future()

    @property
    def running(self) -> bool:
        return not self._ended.done()

    @property
    def error(self) -> ApplianceError | None:
        """Return what went wrong, None while it runs and when all went well."""
        return self._ended.result() if self._ended.done() else None

    def report(self, done: int, total: int) -> None:
        """Note how far the work has come; for the work itself to call."""
        self.progress = (done, total)

    def wait(self, seconds: float) -> bool:
        """Return whether the work has ended, waiting for that long at most."""
        try:
            self._ended.result(seconds)
        except NotYetError:
            return False
        return True

    def run(self, work: Callable[[Task], object]) -> None:
        """Do the work in this thread and keep how it ended; never raises."""
        try:
            work(self)
        except ApplianceError as error:
            self._ended.set_result(error)
        except Exception as error:
            # Nobody waits above this frame, so an unforeseen fault must not vanish with it.
            log.error("work in the background failed", fault=fault_of(error))
            self._ended.set_result(ApplianceError(FAULT, hint="try again; call IT if it lasts"))
        else:
            self._ended.set_result(None)


class Background:
    """The work under way, by key."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, key: str, work: Callable[[Task], object], what: str = "") -> Task:
        """Begin `work` unless one of this key still runs; return the one that runs.

        Whoever starts different works under one key compares `what` of the task returned.
        """
        with self._lock:
            task = self._tasks.get(key)
            if task is not None and task.running:
                return task
            task = self._tasks[key] = Task(what)
            self._tasks.move_to_end(key)
            self._forget_oldest()
        # A daemon: the appliance can be stopped while it runs, and starts clean afterwards.
        threading.Thread(target=task.run, args=(work,), name=f"work {key}", daemon=True).start()
        return task

    def get(self, key: str) -> Task | None:
        """Return the newest work of this key, None when there was none."""
        with self._lock:
            return self._tasks.get(key)

    def forget(self, key: str) -> None:
        """Drop how the work of this key ended; what still runs stays known."""
        with self._lock:
            task = self._tasks.get(key)
            if task is not None and not task.running:
                del self._tasks[key]

    def _forget_oldest(self) -> None:
        for key in [key for key, task in self._tasks.items() if not task.running]:
            if len(self._tasks) <= KEPT:
                return
            del self._tasks[key]
