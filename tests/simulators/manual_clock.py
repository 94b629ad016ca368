"""A clock that stands still until a test moves it."""

from __future__ import annotations


class ManualClock:
    """Both clocks of `appliance.clock.Clock`, advanced together, or apart as after `date -s`."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start
        self._monotonic_ns = 7_000_000_000

    def now(self) -> float:
        return self._now

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._monotonic_ns += round(seconds * 1_000_000_000)

    def set_back(self, seconds: float) -> None:
        """Let somebody set the machine's clock; intervals are not touched by it."""
        self._now -= seconds
