"""The sequences of one memory: which are free, what is to be forgotten and copied in them.

Pure. Guarantee: a number is in use by one request at a time, and what is to be forgotten is told
before its number is used again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Copy:
    """The first `length` tokens of `source` become those of `target`."""

    source: int
    target: int
    length: int


class Sequences:
    """Numbers from 0 to `count` - 1."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = list(range(count))[::-1]
        self._forget: list[int] = []
        self._copies: list[Copy] = []

    def take(self) -> int:
        """Return a sequence for a request that begins."""
        return self._free.pop()

    def release(self, sequence: int) -> None:
        """Let its memory go."""
        self._forget.append(sequence)
        self._free.append(sequence)

    def copy(self, copy: Copy) -> None:
        """Plan a copy."""
        self._copies.append(copy)

    def to_forget(self) -> tuple[int, ...]:
        """Return what is to be forgotten now, once."""
        forget, self._forget = tuple(self._forget), []
        return forget

    def to_copy(self) -> tuple[Copy, ...]:
        """Return what is to be copied before the next step, once."""
        copies, self._copies = tuple(self._copies), []
        return copies

    def clear(self) -> None:
        """Note that the memory is empty."""
        self._free = list(range(self._count))[::-1]
        self._forget, self._copies = [], []
