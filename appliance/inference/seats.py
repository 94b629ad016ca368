"""A model's place in the engine: what it is for, how its process stands, what is due for it.

Guarantee: `Seat.look_after` takes one short step; a process that dies, or lives and answers
nobody, is started again, after a growing pause, while its model is an active one, and not
otherwise. Each time it is told to `restarted`, with the reason.
Not here: which seats there are (`manager`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from appliance.errors import EngineUnavailableError
from appliance.inference.engine import EngineModel, EngineSeat, EngineStatus
from appliance.inference.guard import Guard
from appliance.inference.model_process import ModelProcess
from appliance.inference.watchdog import STOPPED, Pace

BACKOFF_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
HEALTHY_AFTER_S = 10.0
DRAIN_LOOK_S = 0.25
GONE_FOR_S = 1.0


class Role(StrEnum):
    """What a model's process is there for."""

    ACTIVE = "active"
    CANDIDATE = "candidate"
    DRAINING = "draining"


@dataclass(frozen=True)
class Patience:
    """How long is waited, in seconds.

    `linger`: a model that was replaced stays so long after its last answer, for questions that
    were recorded for it and have not arrived. `drain`: it ends after so long in any case.
    `unclaimed`: a candidate that nobody activates ends. `load`: a candidate that is not ready by
    then will not be; the active model may take longer, since nothing else could answer. `room`:
    how long a candidate waits for the one that drains. `mute`: a process that says nothing for so
    long while it loads is started again. `pace`: how one that is ready is watched.
    """

    drain: float = 600.0
    linger: float = 10.0
    unclaimed: float = 120.0
    load: float = 900.0
    room: float = 60.0
    mute: float = 120.0
    pace: Pace = field(default_factory=Pace)


@dataclass(eq=False)
class Seat:
    """One model; `since` is when its present role or state began (monotonic seconds).

    `doomed`: it ends with the next look. `awaited`: somebody waits for it to get ready.
    `threads`: its part of the processors while it is active; null leaves it what it began with.
    """

    model: EngineModel
    role: Role
    start: Callable[[EngineModel], ModelProcess]
    patience: Patience
    restarted: Callable[[str, str], None] = lambda digest, reason: None
    process: ModelProcess | None = None
    guard: Guard | None = None
    threads: int | None = None
    state: Literal["loading", "ready", "failed"] = "loading"
    detail: str = ""
    doomed: bool = False
    awaited: bool = False
    since: float = field(default_factory=time.monotonic)
    started: float = 0.0
    heard: float = 0.0
    gone: float = 0.0
    failures: int = 0
    restart_at: float = 0.0
    look_at: float = 0.0
    busy_at: float = 0.0

    def become(self, role: Role) -> None:
        """Take another role; the process and its answers go on."""
        if role is not self.role:
            self.role, self.since = role, time.monotonic()

    @property
    def settled(self) -> bool:
        """Whether it is known if the model can answer."""
        return self.doomed or self.state != "loading"

    def look_after(self) -> None:
        """Do what is due; to be called often, always by the thread that ends last."""
        now = time.monotonic()
        if self.process is None:
            if self.state == "loading" and now >= self.restart_at:
                self._start(now)
        elif (code := self.process.ended_with) is not None:
            self._note_end(f"its process ended {_ended(code)}", now)
        elif self.state == "ready" and not self.process.has_socket:
            # A process that is ending removes it as its last deed; then its end is the reason.
            self.gone = self.gone or now
            if now - self.gone > GONE_FOR_S:
                self._note_end("its socket was removed", now)
        elif self.state == "loading":
            self._note_loaded(self.process.engine.status(), now)
        else:
            self._watch(self.process, now)

    def is_done(self) -> bool:
        """Tell whether the model may go: nobody wants the candidate, or it has drained.

        Asks the process, at most every `DRAIN_LOOK_S`.
        """
        now = time.monotonic()
        if self.role is Role.ACTIVE or now < self.look_at:
            return False
        self.look_at = now + DRAIN_LOOK_S
        if self.role is Role.CANDIDATE:
            return not self.awaited and now - self.since > self.patience.unclaimed
        if self.state != "ready" or now - self.since > self.patience.drain:
            return True
        status = self.live()
        # One that is too busy to say anything is not idle.
        if status.running or status.waiting or status.state == "down":
            self.busy_at = now
        return now - max(self.busy_at, self.since) > self.patience.linger

    def live(self) -> EngineStatus:
        """Ask the process itself, where there is one to ask."""
        process = self.process
        if process is None or self.state != "ready":
            return EngineStatus(
                "empty" if self.state == "failed" else "loading", detail=self.detail
            )
        found = process.engine.status()
        if found.state == "down" and process.ended_with is not None:
            return EngineStatus("loading", detail="its process ended and is started again")
        return found

    def facts(self) -> EngineSeat:
        """Return what is known without asking the process."""
        model = self.model
        return EngineSeat(
            model.name, model.version, model.digest, str(self.role), self.state, self.detail
        )

    def end(self) -> None:
        """End the process at once."""
        process, self.process = self.process, None
        guard, self.guard = self.guard, None
        if guard is not None:
            guard.stop()
        if process is not None:
            process.end()

    def _watch(self, process: ModelProcess, now: float) -> None:
        """See to it that an active model that is ready is watched, and act on what was seen."""
        if self.guard is None and self.state == "ready" and self.role is Role.ACTIVE:
            self.guard = Guard(
                process.engine, self.model.digest, self.patience.pace, process.use_threads
            )
            self.guard.start()
        elif self.guard is not None and self.role is not Role.ACTIVE:
            # It may not look busy for a test's sake while it drains.
            self.guard.stop()
            self.guard = None
        elif self.guard is not None and self.guard.verdict is not None:
            self._note_end(self.guard.verdict, now)
        elif now - self.since > HEALTHY_AFTER_S:
            self.failures = 0
        if self.guard is not None:
            self.guard.threads = self.threads

    def _start(self, now: float) -> None:
        try:
            self.process = self.start(self.model)
        except (OSError, EngineUnavailableError) as error:
            self._retry(f"its process could not be started ({type(error).__name__})", now)
        else:
            self.started, self.heard, self.gone = now, now, 0.0

    def _note_end(self, what: str, now: float) -> None:
        while_loading = " while it was loaded" if self.state == "loading" else ""
        self.end()
        # What dies again and again while it loads is one incident, not one each time.
        if self.role is Role.ACTIVE and (self.state == "ready" or self.failures == 0):
            self.restarted(self.model.digest, what + while_loading)
        self._retry(what + while_loading, now)

    def _retry(self, detail: str, now: float) -> None:
        self.detail, self.since = detail, now
        if self.role is not Role.ACTIVE:
            self.state = "failed"
            return
        self.state = "loading"
        self.restart_at = now + BACKOFF_S[min(self.failures, len(BACKOFF_S) - 1)]
        self.failures += 1

    def _note_loaded(self, status: EngineStatus, now: float) -> None:
        if status.state != "down":
            self.heard = now
        if status.state == "ready":
            self.state, self.detail, self.since = "ready", status.detail, now
        elif status.state == "empty":
            self.state, self.detail, self.since = "failed", status.detail, now
        elif self.role is not Role.ACTIVE and now - self.started > self.patience.load:
            detail = f"the model was not ready within {self.patience.load:.0f} seconds"
            self.state, self.detail, self.since = "failed", detail, now
        elif now - self.heard > self.patience.mute:
            self._note_end(STOPPED, now)


def _ended(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"
