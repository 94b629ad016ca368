"""Reads the header of a file forward, never past its end, and never more than was asked for.

Every count and length is compared with a limit and with the bytes that remain before anything
is read or made of it. Pure: the bytes come from a function. Not here: what they mean (`gguf`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from appliance.bundles.refusals import UnsafeModelError

Read = Callable[[int, int], bytes]
"""`read(offset, count)` returns up to `count` bytes at `offset`, as `os.pread` does."""

MAX_STRING_BYTES = 4_194_304
MAX_HEADER_BYTES = 268_435_456
WINDOW = 1_048_576
_LENGTH = struct.Struct("<Q")


class Cursor:
    """A position in a file of `size` bytes, which ends there or with the largest header."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._end = min(size, MAX_HEADER_BYTES)
        self._window = b""
        self._window_start = 0
        self.position = 0

    @property
    def remaining(self) -> int:
        return self._end - self.position

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes; raise UnsafeModelError when they are not there."""
        self.require(count)
        start = self.position - self._window_start
        if start + count > len(self._window):
            self._window = self._read(self.position, max(count, min(WINDOW, self.remaining)))
            self._window_start, start = self.position, 0
            if len(self._window) < count:
                raise UnsafeModelError("the header ends early")
        self.position += count
        return self._window[start : start + count]

    def skip(self, count: int) -> None:
        """Pass over `count` bytes without reading them."""
        self.require(count)
        self.position += count
        self._window, self._window_start = b"", self.position

    def skip_strings(self, count: int, what: str) -> None:
        """Pass over strings, each behind its length; an array of them may have a million."""
        # Each takes at least its length: checked first, so that a claim costs nothing.
        self.require(8 * count)
        while count:
            count -= self._skip_in_window(count)
            if count:
                # This one crosses the window's edge, or is too long.
                self.take(self.count(what, MAX_STRING_BYTES))
                count -= 1

    def _skip_in_window(self, count: int) -> int:
        """Pass over up to `count` strings that lie wholly in the window; return how many."""
        data, place, passed = self._window, self.position - self._window_start, 0
        while passed < count and place + 8 <= len(data):
            length: int = _LENGTH.unpack_from(data, place)[0]
            if length > len(data) - place - 8:
                break
            place += 8 + length
            passed += 1
        self.position = self._window_start + place
        return passed

    def require(self, count: int) -> None:
        """Raise UnsafeModelError unless `count` bytes remain."""
        if not 0 <= count <= self.remaining:
            raise UnsafeModelError(f"the header claims {count} bytes where {self.remaining} remain")

    def number(self, layout: str) -> int:
        """Return the next number, read as struct reads `layout`."""
        value: int = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value

    def count(self, what: str, limit: int) -> int:
        """Return the next 64-bit count; raise UnsafeModelError when it exceeds `limit`."""
        value = self.number("<Q")
        if value > limit:
            raise UnsafeModelError(f"the header claims {value} {what}, more than {limit}")
        return value

    def text(self, what: str, limit: int) -> str:
        """Return the next string of at most `limit` bytes of UTF-8."""
        data = self.take(self.count(f"bytes of {what}", limit))
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnsafeModelError(f"{what} is not UTF-8") from error
