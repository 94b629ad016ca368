"""Requests that are refused at the door: recorded one by one, but never as a flood.

Anyone on the network can be refused as often as they like. A record that grew with each attempt
could be used to fill the disk, so beyond a limit for one person or stranger at one address and
minute refusals are counted, and the count is recorded when the minute is over. Nothing is left
out silently, short of a restart within that minute.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from appliance.audit.actions import Outcome
from appliance.clock import Clock
from appliance.errors import ApplianceError
from appliance.identity.permissions import Actor
from appliance.operations.recording import Recorder

MOST_PER_MINUTE = 120
MINUTE_NS = 60 * 1_000_000_000
MOST_COUNTED = 4_096
Who = tuple[str, str]


@dataclass
class _Minute:
    began: int
    recorded: int = 0
    counted: int = 0


class Refusals:
    """Records refusals one by one up to a limit, then as a number."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._minutes: dict[Who, _Minute] = {}
        self._lock = threading.Lock()

    def note(
        self,
        actor: Actor,
        action: str,
        error: ApplianceError,
        entity: str | None = None,
        route: str | None = None,
    ) -> None:
        """Record one refusal, or count it when the same one was refused too often just now."""
        who = (actor.user, actor.source or "")
        with self._lock:
            over = self._take_over(who)
            minute = self._minutes.setdefault(who, _Minute(self._clock.monotonic_ns()))
            alone = minute.recorded < MOST_PER_MINUTE
            minute.recorded += alone
            minute.counted += not alone
        for (person, address), count in over:
            self._recorder.note(
                actor, "request.refuse", Outcome.REFUSED,
                content={
                    "code": "repeated", "person": person, "address": address, "count": count,
                },
            )  # fmt: skip
        if alone:
            content = {"code": error.code} | ({"route": route} if route else {})
            self._recorder.note(actor, action, Outcome.REFUSED, entity=entity, content=content)

    def _take_over(self, who: Who) -> list[tuple[Who, int]]:
        """Close minutes that are over, and the oldest when there are too many; return counts."""
        now = self._clock.monotonic_ns()
        crowded = who not in self._minutes and len(self._minutes) >= MOST_COUNTED
        oldest = min(self._minutes, key=lambda key: self._minutes[key].began) if crowded else None
        closed = [
            one
            for one, minute in self._minutes.items()
            if now - minute.began >= MINUTE_NS or one == oldest
        ]
        taken = [(one, self._minutes.pop(one).counted) for one in closed]
        return [(one, count) for one, count in taken if count]
