"""Who is served next: strictly first come, first served, one at a time, with a bounded queue.

Pure: tickets are numbers that the caller chooses, and nothing here waits. Batching several
requests into one decode step, and fairness per person, are not here yet.
"""

from __future__ import annotations

from appliance.errors import EngineUnavailableError


class Fifo:
    """Admission in order of arrival. `position` counts the requests still waiting before one."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: list[int] = []
        self._running: int | None = None

    @property
    def running(self) -> int | None:
        return self._running

    @property
    def waiting(self) -> tuple[int, ...]:
        return tuple(self._waiting)

    def admit(self, ticket: int) -> None:
        """Put `ticket` at the end; raise EngineUnavailableError when the queue is full."""
        if len(self._waiting) >= self._capacity:
            raise EngineUnavailableError(
                f"{len(self._waiting)} requests are waiting already; this one was not taken",
                hint="try again in a minute",
            )
        self._waiting.append(ticket)

    def start(self) -> int | None:
        """Let the first one run and return it; None while another runs or nobody waits."""
        if self._running is not None or not self._waiting:
            return None
        self._running = self._waiting.pop(0)
        return self._running

    def leave(self, ticket: int) -> None:
        """Forget `ticket`, whether it runs or waits; one that left before is no error."""
        if self._running == ticket:
            self._running = None
        elif ticket in self._waiting:
            self._waiting.remove(ticket)

    def position(self, ticket: int) -> int | None:
        """Return how many wait before `ticket` (0: it is next), or None if it does not wait."""
        return self._waiting.index(ticket) if ticket in self._waiting else None
