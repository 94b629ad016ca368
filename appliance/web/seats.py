"""Open streams and long waits never use up every thread of the gateway.

A stream or a wait holds a thread for as long as an answer takes. A quarter of the threads is never
given to them: it is there for signing in, Stop, health and every other short request. The rest is
divided between programs (the API) and pages, so that neither can shut the other out:

- a page's stream that finds no seat sends one snapshot and ends, and the browser comes back for
  the next one: slower, but nobody is shut out;
- a request of the API that finds no seat is refused with 429 before anything is asked;
- a verification or an export of the record takes a seat of whichever side has one.

Not here: how many answers one person may have under way (operations), and callers that send their
request byte by byte (the edge).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from appliance.errors import BusyError

Release = Callable[[], None]


class Seats:
    """Counts the threads that are held for long; `threads` is how many the gateway has."""

    def __init__(self, threads: int) -> None:
        held = threads - max(1, threads // 4)
        self.for_programs = max(1, held // 2)
        self.for_pages = held - self.for_programs
        self._programs = threading.Semaphore(self.for_programs)
        self._pages = threading.Semaphore(self.for_pages)

    def page(self) -> Release | None:
        """Take a seat for a page's stream; null when the stream may not stay."""
        return _take(self._pages)

    def program(self) -> Release:
        """Take a seat for a request of the API; raise BusyError when there is none."""
        return _or_busy(_take(self._programs))

    def record(self) -> Release:
        """Take a seat for work on the whole record; raise BusyError when there is none."""
        return _or_busy(_take(self._pages) or _take(self._programs))


def _take(seats: threading.Semaphore) -> Release | None:
    """Return what gives the seat back; calling that again does nothing."""
    if not seats.acquire(blocking=False):
        return None
    given, lock = False, threading.Lock()

    def release() -> None:
        nonlocal given
        with lock:
            if given:
                return
            given = True
        seats.release()

    return release


def _or_busy(release: Release | None) -> Release:
    if release is None:
        raise BusyError("too many requests wait for an answer", hint="try again in a few seconds")
    return release
