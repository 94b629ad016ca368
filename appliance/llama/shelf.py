"""Room outside of llama.cpp's memory for what finished conversations held.

A page of memory that was never touched costs the system a fault of its own, up to ten microseconds
in a virtual machine: a conversation of 800 tokens took 65 ms to write down, of which copying was 2.
So pages are touched beforehand, while nobody waits, and those that were used are used again.

Guarantee: what is returned is overwritten with zeros before its place is given to another, and no
core dump holds any of it. Used by one thread at a time. Not here: what is kept, and how long
(`batching.kept`).
"""

from __future__ import annotations

import mmap
import weakref
from bisect import insort

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

# Places differ in size, so that some lie idle between others; what is not touched costs nothing.
SLACK = 1.5
ALIGNMENT = 64
# So much is touched beyond what was ever in use at the same time, and so much of it at once: a
# newcomer waits for one part of it, a few milliseconds.
AHEAD, PART = 128 << 20, 4 << 20


class Shelf:
    """Places for at most about `size` bytes."""

    def __init__(self, size: int) -> None:
        """Reserve addresses, which is no memory yet; none when the system refuses."""
        self._room: Bytes = _reserve(int(size * SLACK))
        self._used: list[tuple[int, int]] = []
        self._reached = 0
        self._touched = 0

    @property
    def used(self) -> int:
        """How many bytes are taken."""
        return sum(end - start for start, end in self._used)

    def take(self, size: int) -> Bytes | None:
        """Return a place of `size` bytes until the last reference to it goes; None without one."""
        start = self._first_gap(size)
        if size <= 0 or start + size > self._room.size:
            return None
        place = (start, -(-(start + size) // ALIGNMENT) * ALIGNMENT)
        insort(self._used, place)
        self._reached = max(self._reached, place[1])
        self._touched = max(self._touched, place[1])
        taken = self._room[start : start + size]
        weakref.finalize(taken, self._give_back, place).atexit = False
        return taken

    def get_ready(self) -> bool:
        """Touch the next part of what may be needed; tell whether there is more to be touched."""
        goal = min(self._reached + AHEAD, self._room.size)
        if self._touched >= goal:
            return False
        end = min(self._touched + PART, goal)
        self._room[self._touched : end].fill(0)
        self._touched = end
        return end < goal

    def _first_gap(self, size: int) -> int:
        """Return where the first gap of `size` bytes begins: the lowest, which was used before."""
        free = 0
        for start, end in self._used:
            if start - free >= size:
                break
            free = end
        return free

    def _give_back(self, place: tuple[int, int]) -> None:
        start, end = place
        self._room[start:end].fill(0)
        self._used.remove(place)


def _reserve(size: int) -> Bytes:
    try:
        room = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, ValueError, OverflowError):
        return np.empty(0, np.uint8)
    room.madvise(mmap.MADV_DONTDUMP)
    return np.frombuffer(room, np.uint8)
