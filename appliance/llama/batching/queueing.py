"""Who is next: fair among people, then in order of arrival, with a bounded queue.

Pure: tickets are numbers that the caller chooses. A request's turn is how many requests of the
same person run or wait before it, so somebody with ten requests goes behind somebody with one,
and whoever waits longest goes first among equals. Nobody starves: each time one of a person's
requests ends, that person's next one moves up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from appliance.errors import EngineUnavailableError


@dataclass(frozen=True)
class Waiter:
    """One who waits."""

    ticket: int
    person: str


class Queue:
    """Those who wait, in order of arrival, and how many requests of each person run."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: list[Waiter] = []
        self._running: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiter: Waiter) -> None:
        """Put one at the end; raise EngineUnavailableError when the queue is full."""
        if len(self._waiting) >= self._capacity:
            raise EngineUnavailableError(
                f"{len(self._waiting)} requests are waiting already; this one was not taken",
                hint="try again in a minute",
            )
        self._waiting.append(waiter)

    def order(self) -> list[Waiter]:
        """Return those who wait, the next one first; `position` is the index in here."""
        before = self._running.copy()
        turns: list[tuple[int, int]] = []
        for arrival, waiter in enumerate(self._waiting):
            turns.append((before[waiter.person], arrival))
            before[waiter.person] += 1
        return [self._waiting[arrival] for _, arrival in sorted(turns)]

    def begin(self, waiter: Waiter) -> None:
        """Let one run."""
        self._waiting.remove(waiter)
        self._running[waiter.person] += 1

    def drop(self, ticket: int) -> bool:
        """Forget one who waits; tell whether it did."""
        found = [waiter for waiter in self._waiting if waiter.ticket == ticket]
        for waiter in found:
            self._waiting.remove(waiter)
        return bool(found)

    def end(self, person: str) -> None:
        """Count one running request of this person less."""
        self._running[person] -= 1
        if self._running[person] <= 0:
            del self._running[person]
