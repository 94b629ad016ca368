"""Time and randomness as things that are passed in, so that the core can be tested.

Nothing else in the package reads the wall clock directly. `System` is the real one.
"""

from __future__ import annotations

import math
import secrets
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """Wall time for people, monotonic time for intervals."""

    def now(self) -> float:
        """Return seconds since 1970-01-01 UTC; may jump when the machine's clock is set."""
        ...

    def monotonic_ns(self) -> int:
        """Return nanoseconds since an arbitrary start; never goes back within one boot."""
        ...


class System:
    """The machine's own clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


def rfc3339(seconds: float) -> str:
    """Return UTC as `2026-01-31T09:30:00.123Z`: RFC 3339, always three decimals."""
    whole = math.floor(seconds)
    micros = round((seconds - whole) * 1_000_000)
    if micros == 1_000_000:
        whole, micros = whole + 1, 0
    return f"{_to_the_second(whole)}.{micros // 1000:03d}Z"


@lru_cache(maxsize=4)
def _to_the_second(seconds: int) -> str:
    # Many entries share a second, and formatting it costs more than all else about their time.
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def new_id(prefix: str) -> str:
    """Return a fresh unguessable identifier such as `cnv_1f0c…` (96 random bits in hex)."""
    return f"{prefix}_{secrets.token_hex(12)}"
