"""Who is next: fair among people, whatever they ask at once, with a bounded queue.

Pure: tickets are numbers that the caller chooses. Fair queueing as networks have it (virtual time):
each request is due in a round, its person's next one or the present one, whichever is later; the
present round goes on by as much as everybody has been served. So of a person with ten requests
and one with a single request the latter waits for one answer, not for ten, and that holds while
the ten are worked off; and whoever waits is reached, however many newcomers there are.
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
        self._round = 0.0
        # By ticket: the round in which a waiting request is due. By person: that of the last one.
        self._due: dict[int, float] = {}
        self._last: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiter: Waiter) -> None:
        """Put one at the end; raise EngineUnavailableError when the queue is full."""
        if len(self._waiting) >= self._capacity:
            raise EngineUnavailableError(
                f"{len(self._waiting)} requests are waiting already; this one was not taken",
                hint="try again in a minute",
            )
        due = max(self._round, self._last.get(waiter.person, self._round - 1) + 1)
        self._due[waiter.ticket] = self._last[waiter.person] = due
        self._waiting.append(waiter)

    def order(self) -> list[Waiter]:
        """Return those who wait, the next one first; `position` is the index in here."""
        return sorted(self._waiting, key=lambda waiter: self._due[waiter.ticket])

    def begin(self, waiter: Waiter) -> None:
        """Let one run."""
        self._waiting.remove(waiter)
        del self._due[waiter.ticket]
        self._running[waiter.person] += 1

    def drop(self, ticket: int) -> bool:
        """Forget one who waits; tell whether it did. What its person asked after it moves up."""
        found = next((waiter for waiter in self._waiting if waiter.ticket == ticket), None)
        if found is None:
            return False
        self._waiting.remove(found)
        gone = self._due.pop(ticket)
        for waiter in self._waiting:
            if waiter.person == found.person and self._due[waiter.ticket] > gone:
                self._due[waiter.ticket] -= 1
        if found.person in self._last:
            self._last[found.person] -= 1
        return True

    def end(self, person: str) -> None:
        """Count one running request of this person less, and everybody as served a little more."""
        here = {waiter.person for waiter in self._waiting} | set(self._running)
        self._round += 1 / len(here)
        self._running[person] -= 1
        if self._running[person] <= 0:
            del self._running[person]
        # Who is due now anyway needs no memory; and none outlasts a moment without any request.
        busy = bool(self._waiting or self._running)
        self._last = {
            who: last for who, last in self._last.items() if busy and last + 1 > self._round
        }
