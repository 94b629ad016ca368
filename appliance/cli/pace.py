"""How fast something goes and how long it will still take, from what was done so far. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """How far it has come; speed and time left are None until they can be told."""

    done: int
    total: int
    bytes_per_s: int | None
    seconds_left: int | None


class Pace:
    """Takes readings; `clock` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start: tuple[float, int] | None = None

    def read(self, done: int, total: int) -> Reading:
        """Return where it stands now. What was there at the first reading cost no time."""
        now = self._clock()
        if self._start is None:
            self._start = (now, done)
        since, base = now - self._start[0], done - self._start[1]
        if since <= 0 or base <= 0:
            return Reading(done, total, None, None)
        speed = base / since
        return Reading(done, total, int(speed), round((total - done) / speed))
