"""The engine's manager: one process per model, and no moment without the one that answers.

Guarantees:

- What `active.json` names, one model or two, is held, whatever happens to its process: one that
  ends, or lives and writes no token, is started again. What it does not name any more is let go:
  gently when another model answers, at once when none does or when told to.
- `prepare` returns only when the new model has written a token; when it raises, nothing changed.
- A model that was replaced answers what was asked of it, and ends after that.
- At most four processes: those of two active models, of one that comes and of one that goes.
- Each restart is told in the status, with its reason, under an id of its own.

llama.cpp is never loaded in here, so nothing that it does ends this process. One thread owns the
processes; they die with it. Not here: HTTP, who may activate, what is recorded.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from appliance.errors import ApplianceError, ConflictError, EngineUnavailableError, fault_of
from appliance.inference.engine import EngineModel, EngineStatus, Finished, Generation, Sampling
from appliance.inference.guard import PROMPT
from appliance.inference.incidents import IncidentLog
from appliance.inference.model_process import ModelProcess
from appliance.inference.seats import Patience, Role, Seat

LOG = logging.getLogger("appliance.engine")
LOOK_EVERY_S = 0.25
LOOK_SOON_S = 0.05  # while a model is on its way
END_WITHIN_S = 10.0

ReadActive = Callable[[], Sequence[EngineModel]]
Start = Callable[[EngineModel], ModelProcess]


class Manager:
    """Holds the processes of one library; `active_file` is looked at for a change of mind."""

    def __init__(
        self,
        active_file: Path,
        read_active: ReadActive,
        start: Start,
        patience: Patience | None = None,
        share: Callable[[int], int | None] = lambda residents: None,
    ) -> None:
        """`read_active` returns the active models, the one that answers by default first.

        `share` says how many threads each of so many active models gets; null: as it began.
        """
        self._active_file = active_file
        self._read_active = read_active
        self._start = start
        self._patience = patience or Patience()
        self._share = share
        self._changed = threading.Condition()
        self._seats: dict[str, Seat] = {}
        self._active: tuple[EngineModel, ...] = ()
        self._incidents = IncidentLog()
        self._detail = "no model is active"
        self._stamp: object = object()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)

    def start(self, found_dead: str | None = None) -> None:
        """Begin to hold what is active; in the process that answers, after any fork.

        `found_dead` says why models that answered before this start do not any more.
        """
        self._follow()
        if found_dead is not None:
            for model in self._active:
                self._incidents.restarted(model.digest, found_dead)
        self._thread.start()

    def close(self) -> None:
        """End every process and the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(END_WITHIN_S)

    def status(self) -> dict[str, Any]:
        """Return how the first active model stands, in `EngineStatus`'s words.

        And all `seats`, and the latest `incidents`.
        """
        self._follow()
        with self._changed:
            seat = self._seats.get(self._active[0].digest) if self._active else None
            detail = self._detail
            seats = [vars(other.facts()) for other in self._seats.values()]
        live = seat.live() if seat is not None else EngineStatus("empty", detail=detail)
        return {**vars(live), "seats": seats, "incidents": self._incidents.to_json()}

    def prepare(self, wanted: Mapping[str, Any]) -> None:
        """Load a model beside the active one and let it write a token; see `Engine.prepare`."""
        model = EngineModel.parse(wanted)
        seat, tried = self._take_seat(model)
        try:
            self._await_ready(seat)
            if not tried:
                _probe(seat)
        except BaseException:
            with self._changed:
                # Meanwhile it may have become the active one: then its own care goes on.
                if seat.role is Role.CANDIDATE:
                    self._doom(seat)
            raise
        with self._changed:
            seat.awaited, seat.since = False, time.monotonic()

    def release(self, digest: str) -> None:
        """Let a model end after its answers; the active one stays."""
        self._follow()
        with self._changed:
            seat = self._seats.get(digest)
            if seat is not None and seat.role is Role.CANDIDATE:
                seat.become(Role.DRAINING)

    def stop(self, digest: str) -> None:
        """End a model's process at once; it comes back only if `active.json` names it."""
        self._follow()
        with self._changed:
            seat = self._seats.get(digest)
            if seat is not None:
                self._doom(seat)

    def reload(self) -> None:
        """Follow `active.json` now, and try again what failed; returns when the rest has ended."""
        self._follow(anew=True)
        with self._changed:
            for seat in list(self._seats.values()):
                if seat.doomed or seat.state == "failed":
                    self._doom(seat)

    # --- which seats there are

    def _follow(self, *, anew: bool = False) -> None:
        """Bring the roles in line with `active.json` when it has changed."""
        with self._changed:
            stamp = self._look()
            if self._closing or (stamp == self._stamp and not anew):
                return
            self._stamp = stamp
            try:
                self._active, self._detail = tuple(self._read_active()), "no model is active"
            except ApplianceError as error:
                self._active, self._detail = (), f"{error.message}; {error.hint}"
                self._stamp = object()  # it may be readable at the next look
            self._arrange()

    def _look(self) -> object:
        try:
            facts = self._active_file.lstat()
        except OSError:
            return None
        return facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size

    def _arrange(self) -> None:
        wanted = self._active
        for seat in self._seats.values():
            if any(map(seat.model.answers_as, wanted)):
                seat.become(Role.ACTIVE)
            elif seat.model.digest in {model.digest for model in wanted}:
                seat.doomed = True  # the same weights, to be read in another way
            elif seat.role is Role.ACTIVE:
                seat.become(Role.DRAINING)
                # With no model left, this one was withdrawn: nobody may ask it any more.
                seat.doomed |= not wanted
        for model in wanted:
            if model.digest not in self._seats:
                self._seat(model, Role.ACTIVE)
            self._seats[model.digest].threads = self._share(len(wanted))
        self._changed.notify_all()

    def _seat(self, model: EngineModel, role: Role) -> Seat:
        seat = Seat(model, role, self._start, self._patience, self._incidents.restarted)
        self._seats[model.digest] = seat
        self._changed.notify_all()
        return seat

    def _take_seat(self, model: EngineModel) -> tuple[Seat, bool]:
        """Return the model's seat, and whether it answered before."""
        until = time.monotonic() + self._patience.room
        self._follow()
        with self._changed:
            while not self._closing:
                seat = self._seats.get(model.digest)
                if seat is not None and seat.model.answers_as(model) and not seat.doomed:
                    if seat.state != "failed":
                        seat.awaited = True
                        if seat.role is Role.DRAINING:
                            seat.become(Role.CANDIDATE)
                        return seat, seat.state == "ready"
                    seat.doomed = True
                others = [other for other in self._seats.values() if other.role is not Role.ACTIVE]
                if not others and seat is None:
                    seat = self._seat(model, Role.CANDIDATE)
                    seat.awaited = True
                    return seat, False
                for other in others:
                    # One activation runs at a time, so an older candidate is nobody's any more.
                    other.doomed |= other.role is Role.CANDIDATE
                left = until - time.monotonic()
                if left <= 0:
                    raise ConflictError(
                        "the model that answered before still finishes answers, and there is "
                        "room for one more only; nothing was changed",
                        hint="try again in a few minutes",
                    )
                self._changed.wait(left)
        raise EngineUnavailableError("the engine is stopping; nothing was changed")

    def _await_ready(self, seat: Seat) -> None:
        with self._changed:
            # A candidate gives up by itself; an active one that dies again and again does not.
            limit = self._patience.load + END_WITHIN_S
            self._changed.wait_for(lambda: self._closing or seat.settled, limit)
            if seat.state != "ready" or seat.doomed:
                raise EngineUnavailableError(f"the model cannot answer: {_why_not(seat)}")

    def _doom(self, seat: Seat) -> None:
        """End a seat and wait until it has; to be called with the lock held."""
        seat.doomed = True
        self._changed.notify_all()
        digest = seat.model.digest
        self._changed.wait_for(
            lambda: self._closing or self._seats.get(digest) is not seat, END_WITHIN_S
        )

    # --- the thread that owns the processes

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closing:
                    break
            try:
                self._round()
            except Exception as error:
                LOG.error("looking after the models failed: %s", fault_of(error))
            with self._changed:
                if not self._closing:
                    settled = all(seat.settled for seat in self._seats.values())
                    self._changed.wait(LOOK_EVERY_S if settled else LOOK_SOON_S)
        for seat in self._seats.values():
            with contextlib.suppress(OSError):
                seat.end()

    def _round(self) -> None:
        self._follow()
        with self._changed:
            seats = list(self._seats.values())
        for seat in seats:
            before, role = seat.settled, seat.role
            seat.look_after()
            done = seat.is_done()
            with self._changed:
                # One that was wanted again while its process was asked stays.
                seat.doomed = seat.doomed or (done and seat.role is role)
                if seat.settled != before:
                    self._changed.notify_all()
            if seat.doomed:
                self._remove(seat)

    def _remove(self, seat: Seat) -> None:
        seat.end()
        with self._changed:
            del self._seats[seat.model.digest]
            self._arrange()


def _why_not(seat: Seat) -> str:
    if seat.detail:
        return seat.detail
    if seat.state == "loading" and not seat.doomed:
        return "it is not ready yet"
    return "another model was prepared instead, or it was stopped"


def _probe(seat: Seat) -> None:
    """Let a fresh model write one token, the whole way through its socket."""
    process = seat.process
    if process is None:
        raise EngineUnavailableError("the model's process ended before its first token")
    request = Generation(seat.model.digest, PROMPT, Sampling(max_tokens=1, temperature=0.0))
    *_, last = process.engine.generate(request)
    if not isinstance(last, Finished):
        raise EngineUnavailableError("the model did not finish its first answer")
