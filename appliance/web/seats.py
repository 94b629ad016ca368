"""Open event streams never use up every thread of the gateway.

A stream holds a thread for as long as an answer takes. When three quarters of the threads are
held, a further stream sends one snapshot and ends, and the browser comes back for the next one:
slower, but nobody is shut out, and Stop always finds a thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Seats:
    """Counts the streams that stay open."""

    def __init__(self, threads: int) -> None:
        self._free = threading.BoundedSemaphore(max(1, threads * 3 // 4))

    @contextlib.contextmanager
    def take(self) -> Iterator[bool]:
        """Yield whether the stream may stay open; gives the seat back at the end."""
        taken = self._free.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._free.release()
