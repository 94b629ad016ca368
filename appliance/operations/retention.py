"""Schedules that run by themselves: content past its time, and old prefixes of the record.

Each run is recorded with its counts. What a hold keeps stays. A run goes by a time of its own
(`conversations/retention.py`): while the machine's clock is far ahead of it, nothing is destroyed
until a person has confirmed the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from appliance.assembly import Appliance
from appliance.audit.access import boot_id
from appliance.audit.actions import Outcome
from appliance.audit.entry import Agent
from appliance.clock import rfc3339
from appliance.conversations.custody import Due
from appliance.conversations.retention import (
    DAY_S,
    MOST_OFF_S,
    USER,
    Schedule,
    TrustedTime,
    whole_epochs,
)
from appliance.conversations.schedule.store import ScheduleState
from appliance.conversations.values import ORIGINS
from appliance.errors import BadInputError, ConflictError
from appliance.identity.permissions import Actor, Permission
from appliance.operations.alone import alone
from appliance.operations.content import Content
from appliance.operations.recording import Recorder, system
from appliance.operations.rewrapping import Rewrapping

# Conversations that one purge closes; each purge is one entry of the record.
AT_ONCE = 5_000
CLOCK = "the machine's clock is ahead of the time that it has run for"


@dataclass(frozen=True)
class Plan:
    """What is due at `moment`: content by origin, and entries of the record below `prune`.

    `fits` is false while the schedule does not believe the clock, and so does not run.
    """

    moment: float
    content: tuple[Due, ...]
    prune: int
    fits: bool

    @property
    def conversations(self) -> int:
        return sum(due.due for due in self.content)


@dataclass(frozen=True)
class Applied:
    """What a run did. `complete` is false when more is due than one run may take."""

    moment: float
    content: tuple[Due, ...]
    entries: int
    complete: bool


class RetentionOperations:
    """Plans, applies, and what the caretaker calls."""

    def __init__(self, appliance: Appliance, content: Content, rewrapping: Rewrapping) -> None:
        self._appliance = appliance
        self._custody = appliance.conversations.custody
        self._content = content
        self._rewrapping = rewrapping
        self._recorder = Recorder(appliance.ledger)
        kept = appliance.config.retention
        self._schedule = Schedule(kept.content_days, kept.api_days, kept.metadata_years)
        # When this process last recorded that it waits, so that it does not every minute.
        self._waited_ns: int | None = None

    @property
    def schedule(self) -> Schedule:
        return self._schedule

    def plan(self, actor: Actor, moment: float | None = None) -> Plan:
        """Return what would be due at `moment` (now); nothing is changed."""
        self._recorder.authorise(actor, Permission.RETENTION, "retention.plan")
        state, fits = self._state()
        now = min(self._appliance.clock.now(), state.time.trusted) if moment is None else moment
        plan = Plan(now, self._due(now), self._boundary(now, state.pruned), fits)
        self._recorder.note(
            actor, "retention.plan", Outcome.SUCCESS,
            content={"at": rfc3339(now), **_counts(plan.content)},
        )  # fmt: skip
        return plan

    def apply(self, actor: Actor, *, confirm_clock: bool = False) -> Applied:
        """Do now what is due; raise ConflictError while the clock is not to be believed.

        `confirm_clock` states that a person has looked at the clock and found it right.
        """
        self._recorder.authorise(actor, Permission.RETENTION, "retention.apply")
        with alone(self._appliance):
            state, fits = self._state()
            now = self._appliance.clock.now()
            if confirm_clock:
                state = replace(state, time=replace(state.time, trusted=now))
            elif not fits:
                error = ConflictError(
                    f"{CLOCK}; nothing was erased",
                    hint="look at the date, then `appliance retention apply --confirm-clock`",
                )
                self._recorder.refuse(actor, "retention.apply", error)
                raise error
            done = self._run(actor, state, confirmed=confirm_clock)
            while not done.complete:
                done = self._more(done, self._run(actor, state, confirmed=confirm_clock))
        return done

    def run_due(self) -> Applied | None:
        """Finish what a crash cut off, and once a day do what is due; for the caretaker.

        Quick when nothing is due, and safe to call at any time. Returns None when it did not run.
        """
        self._content.resume()
        self._rewrapping.resume()
        known = self._custody.schedule()
        state, fits = self._state()
        if known is None or state.time.boot != known.time.boot:
            self._custody.save_schedule(state)
        if not fits:
            self._wait()
            return None
        if state.time.trusted - state.ran < DAY_S:
            return None
        try:
            with alone(self._appliance, wait_s=0):
                return self._run(system("retention"), state)
        except ConflictError:
            return None  # somebody erases just now; the next minute will do

    # --- one run

    def _run(self, actor: Actor, state: ScheduleState, *, confirmed: bool = False) -> Applied:
        now = min(self._appliance.clock.now(), state.time.trusted)
        facts: dict[str, Any] = {"at": rfc3339(now), "schedule": self._basis}
        if confirmed:
            facts["clock"] = "confirmed"
        with self._recorder.change(actor, None, "retention.apply", **facts) as change:
            due = self._due(now)
            change.facts |= _counts(due)
            if any(kind.due for kind in due):
                self._content.purge(actor, self._before(now), self._basis, AT_ONCE)
            complete = sum(kind.due for kind in due) <= AT_ONCE
            boundary = self._boundary(now, state.pruned) if complete else 0
            entries = self._prune(actor, boundary)
            change.facts["entries"] = entries
            self._custody.save_schedule(
                ScheduleState(
                    state.time, state.time.trusted if complete else state.ran,
                    max(state.pruned, boundary),
                )
            )  # fmt: skip
        return Applied(now, due, entries, complete)

    def _more(self, first: Applied, next_: Applied) -> Applied:
        # The first run counted everything that was due.
        return replace(next_, content=first.content, entries=first.entries + next_.entries)

    def _prune(self, actor: Actor, boundary: int) -> int:
        if not boundary:
            return 0
        agent = Agent(**actor.agent_fields())
        basis = f"schedule metadata_years={self._schedule.metadata_years}"
        try:
            return self._appliance.ledger.prune(boundary, agent, actor.source, basis)
        except BadInputError:
            # The record let go of that much already, and a crash came before that was noted here.
            return 0

    def _wait(self) -> None:
        """Record once a day that the schedule does not run, and why."""
        now = self._appliance.clock.monotonic_ns()
        if self._waited_ns is None or now - self._waited_ns >= DAY_S * 1e9:
            error = ConflictError(CLOCK)
            self._recorder.refuse(system("retention"), "retention.apply", error)
            self._waited_ns = now

    # --- what is due

    @property
    def _basis(self) -> str:
        return self._schedule.basis

    def _before(self, now: float) -> dict[str, float]:
        moments = {origin: self._schedule.due_before(origin, now) for origin in sorted(ORIGINS)}
        return {origin: moment for origin, moment in moments.items() if moment is not None}

    def _due(self, now: float) -> tuple[Due, ...]:
        return tuple(self._custody.due(self._before(now)))

    def _boundary(self, now: float, pruned: int) -> int:
        """Return below which entry the record is to be pruned; 0 when nothing is."""
        before = self._schedule.metadata_before(now)
        if before is None:
            return 0
        needed, entry = self._custody.oldest_kept()
        times = [before, *([] if needed is None else [needed]), *self._held_since()]
        epochs = self._appliance.ledger.keys()
        opened = [
            (epoch.seq or 0, datetime.fromisoformat(epoch.opened).timestamp())
            for epoch in epochs
            if epoch.opened is not None
        ]
        boundary = whole_epochs(opened, min(times), entry)
        return boundary if boundary > pruned else 0

    def _held_since(self) -> list[float]:
        """Return since when the people have been here of whom everything is held."""
        return [
            self._appliance.people.get(hold.scope.target).created
            for hold in self._custody.holds()
            if hold.released is None and hold.scope.kind == USER
        ]

    def _state(self) -> tuple[ScheduleState, bool]:
        """Return the schedule's state at the present, and whether the clock fits to it."""
        clock, boot = self._appliance.clock, boot_id()
        now = clock.now()
        known = self._custody.schedule()
        if known is None:
            used = self._custody.last_use()
            # On a first run the newest content says what time it is, roughly.
            start = now if used is None or now - used <= MOST_OFF_S else used
            known = ScheduleState(TrustedTime(start, boot, clock.monotonic_ns()), 0.0, 0)
        time, fits = known.time.at(now, boot, clock.monotonic_ns())
        return replace(known, time=time), fits


def _counts(due: tuple[Due, ...]) -> dict[str, Any]:
    return {
        "due": {kind.origin: kind.due for kind in due},
        "held": {kind.origin: kind.held for kind in due},
    }
