"""Requests and questions that are refused: recorded one by one, but never as a flood.

Anyone on the network can be refused as often as they like. A record that grew with each attempt
could be used to fill the disk, so beyond a limit for one person or stranger at one address and
minute refusals are counted, and the number is recorded when the minute is over. Only a crash
within that minute loses a number.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from appliance.audit.actions import Outcome
from appliance.clock import Clock
from appliance.errors import ApplianceError
from appliance.identity.permissions import Actor
from appliance.operations.recording import Recorder, system

MOST_PER_MINUTE = 120
MINUTE_NS = 60 * 1_000_000_000
MOST_COUNTED = 4_096
Who = tuple[str, str]
OTHERS: Who = ("many", "")


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
        self.flush()
        if self._is_alone((actor.user, actor.source or "")):
            content = {"code": error.code} | ({"route": route} if route else {})
            self._recorder.note(actor, action, Outcome.REFUSED, entity=entity, content=content)

    def flush(self, *, everything: bool = False) -> None:
        """Record the numbers of minutes that are over; a number that cannot be written is kept."""
        for who, minute in self._take_over(everything).items():
            try:
                self._write(who, minute.counted)
            except ApplianceError:
                with self._lock:
                    kept = self._minutes.setdefault(who, _Minute(minute.began, MOST_PER_MINUTE))
                    kept.counted += minute.counted
                raise

    def _is_alone(self, who: Who) -> bool:
        with self._lock:
            if who not in self._minutes and len(self._minutes) >= MOST_COUNTED:
                who = OTHERS
            minute = self._minutes.setdefault(who, _Minute(self._clock.monotonic_ns()))
            alone = minute.recorded < MOST_PER_MINUTE
            minute.recorded += alone
            minute.counted += not alone
            return alone

    def _take_over(self, everything: bool) -> dict[Who, _Minute]:
        """Forget the minutes that are over and return those that counted something."""
        now = self._clock.monotonic_ns()
        with self._lock:
            over = [
                who
                for who, minute in self._minutes.items()
                if everything or now - minute.began >= MINUTE_NS
            ]
            taken = {who: self._minutes.pop(who) for who in over}
        return {who: minute for who, minute in taken.items() if minute.counted}

    def _write(self, who: Who, count: int) -> None:
        person, address = who
        self._recorder.note(
            system("gateway"),
            "request.refuse",
            Outcome.REFUSED,
            content={"code": "repeated", "person": person, "address": address, "count": count},
        )
