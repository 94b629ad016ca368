"""When a model's process counts as wedged: it lives, and answers nobody (pure).

Guarantee: a process whose steps grow is never called wedged, however busy it is; one that writes
no token although asked, or does not even say how it stands, is called so after a bounded time.
A pause of the watcher itself (a machine that slept) counts as one short look.
Not here: asking the process (`guard`), ending it and starting it again (`seats`).
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.inference.engine import EngineStatus

STOPPED = "it stopped answering"
NOTHING_WRITTEN = "it stopped writing"


@dataclass(frozen=True)
class Pace:
    """How often is looked and how long is waited, in seconds.

    `every`: between two tokens written as a test. `look`: between two looks at the status.
    `silent`: a process that says nothing for so long is wedged. `stuck`: so is one that takes no
    step for so long while a test waits; a long prompt's first step on a slow machine takes less.
    `suspect`: with requests running and no step for so long, the next test comes at once.
    `again`: between a test that failed and the next. `uncounted`: in the place of `stuck` while
    the process has never counted a step, so that nothing tells it from a busy one.
    """

    every: float = 60.0
    look: float = 1.0
    silent: float = 15.0
    stuck: float = 60.0
    suspect: float = 10.0
    again: float = 5.0
    uncounted: float = 600.0

    @property
    def longest_look(self) -> float:
        """As much as one look may weigh, so that no verdict rests on fewer than three."""
        return min(self.silent, self.stuck) / 3


class Watch:
    """What was seen of one process; times are monotonic seconds and only ever grow."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._looked: float | None = None
        self._steps = 0
        self._asked = False
        self._due: float | None = None
        self._silent = self._still = self._stuck = 0.0

    def look(self, now: float, status: EngineStatus) -> str | None:
        """Take in how the process stands; return why it counts as wedged, null while it does not.

        1. A look weighs what passed since the last one, and never more than `longest_look`.
        2. Who says nothing for `silent` is wedged.
        3. Who was asked for a token and took no step for `stuck` is wedged.
        """
        passed = min(now - (now if self._looked is None else self._looked), self._pace.longest_look)
        self._looked = now
        if status.state == "down":
            self._silent += passed
            return STOPPED if self._silent >= self._pace.silent else None
        self._silent = 0.0
        moved, self._steps = status.steps != self._steps, status.steps
        self._still = 0.0 if moved or not status.running else self._still + passed
        self._stuck = 0.0 if moved or not self._asked else self._stuck + passed
        counts = self._steps > 0 or not status.running
        limit = self._pace.stuck if counts else self._pace.uncounted
        return NOTHING_WRITTEN if self._stuck >= limit else None

    def is_due(self, now: float) -> bool:
        """Tell whether the next test is due; only once the process has said how it stands."""
        if self._looked is None or self._silent:
            return False
        return self._due is None or now >= self._due or self._still >= self._pace.suspect

    def began(self, now: float) -> None:
        """Note that a token was asked for."""
        self._asked, self._due = True, now + self._pace.every

    def wrote(self, now: float) -> None:
        """Note that a token came."""
        self._asked, self._stuck, self._still = False, 0.0, 0.0
        self._due = now + self._pace.every

    def failed(self, now: float) -> None:
        """Note that a test ended without a token; what was waited for it still counts."""
        self._still = 0.0
        self._due = now + self._pace.again
