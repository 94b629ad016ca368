"""Threads for answers: one that is done waits a little for the next answer.

Starting a thread costs as much as sealing a dozen questions, and whoever starts one waits until it
runs. They are daemons: a stopping gateway waits for its answers, not for idle threads. A thread
that waits holds nothing of what it did: an answer's text is not kept in memory by it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

KEEP_S = 30.0
Work = Callable[[], None]


class _Idle:
    """A thread that waits: whoever takes it out of the line gives it `work` and lets it go on."""

    def __init__(self, work: Work | None = None) -> None:
        self.work = work
        self.given = threading.Lock()
        self.given.acquire()

    def taken(self) -> Work | None:
        """Return the work, and hold it no longer."""
        work, self.work = self.work, None
        return work


class AnswerThreads:
    """As many threads as there is work at once; any thread may call."""

    def __init__(self, keep_s: float = KEEP_S) -> None:
        self._keep_s = keep_s
        self._idle: list[_Idle] = []
        self._lock = threading.Lock()

    @property
    def idle(self) -> int:
        """How many threads wait for work."""
        with self._lock:
            return len(self._idle)

    def start(self, work: Work) -> None:
        """Do `work` at once in another thread; raises RuntimeError when none can be started."""
        with self._lock:
            # The last that came: those that were not needed for long are the ones that go.
            waiting = self._idle.pop() if self._idle else None
        if waiting is None:
            # Not the work itself: a thread holds its arguments as long as it lives.
            first = _Idle(work)
            threading.Thread(target=self._serve, args=(first,), name="answer", daemon=True).start()
        else:
            waiting.work = work
            waiting.given.release()

    def _serve(self, first: _Idle) -> None:
        work = first.taken()
        while work is not None:
            work()
            work = None
            work = self._next()

    def _next(self) -> Work | None:
        """Wait for work; null when none came for a while."""
        waiting = _Idle()
        with self._lock:
            self._idle.append(waiting)
        if not waiting.given.acquire(timeout=self._keep_s):
            with self._lock:
                if waiting in self._idle:
                    self._idle.remove(waiting)
                    return None
            # Taken out of the line just now: its work is on the way.
            waiting.given.acquire()
        return waiting.taken()
