"""Time and randomness as things that are passed in, so that the core can be tested.

Nothing else in the package reads the wall clock directly. `System` is the real one.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
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
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def new_id(prefix: str) -> str:
    """Return a fresh unguessable identifier such as `cnv_1f0c…` (96 random bits in hex)."""
    return f"{prefix}_{secrets.token_hex(12)}"
