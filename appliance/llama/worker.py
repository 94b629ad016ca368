"""The one thread that owns the model: loads it, answers in order, lets go of what is cancelled.

Guarantee: a job ends with exactly one of `Done`, `Failed` or silence after `cancel`; nothing a
job does stops the thread. The model is `ready` only after it has written a token.
Not here: HTTP. Not here either: a way to survive an abort inside llama.cpp; that ends the
process, whose manager starts a new one.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from appliance.config import Engine as Settings
from appliance.errors import ApplianceError, EngineUnavailableError, fault_of
from appliance.llama.context import Cancel, Cancelled
from appliance.llama.events import Done, Event, Failed, Waiting, Working
from appliance.llama.library_view import ActiveModel
from appliance.llama.model import Model, load
from appliance.llama.sampling import Sampling
from appliance.llama.scheduler import Fifo

LOG = logging.getLogger("appliance.llama")
MOST_WAITING = 256
STOP_WAIT_S = 5.0


@dataclass(frozen=True)
class State:
    """What the engine says of itself."""

    state: Literal["loading", "ready", "empty"]
    detail: str = ""
    model: Model | None = None


@dataclass(frozen=True, eq=False)
class Job:
    """One request on its way through the worker; `events` and `cancel` are for its caller."""

    ticket: int
    model: Model
    prompt: Sequence[int]
    sampling: Sampling
    forget: Callable[[Job], None]
    stop: Cancel = field(default_factory=Cancel)
    inbox: queue.SimpleQueue[Event] = field(default_factory=queue.SimpleQueue)

    def events(self, heartbeat_s: float) -> Iterator[Event]:
        """Yield what happens, and the last sign of life again after each quiet `heartbeat_s`."""
        quiet: Event = Working()
        while True:
            try:
                event = self.inbox.get(timeout=heartbeat_s)
            except queue.Empty:
                yield quiet
                continue
            quiet = event if isinstance(event, Waiting) else Working()
            yield event
            if isinstance(event, Done | Failed):
                return

    def cancel(self) -> None:
        """End the job wherever it stands; harmless when it has ended already."""
        self.stop.request()
        self.forget(self)


class Worker:
    """Runs jobs one after another on the one model of this process."""

    def __init__(self, library: Path, active: ActiveModel, settings: Settings) -> None:
        self._library = library
        self._active = active
        self._settings = settings
        self._changed = threading.Condition()
        self._tickets = itertools.count()
        self._fifo = Fifo(MOST_WAITING)
        self._jobs: dict[int, Job] = {}
        self._state = State("loading")
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="llama", daemon=True)

    def start(self) -> None:
        """Begin to load and to serve; to be called in the process that answers, after any fork."""
        self._thread.start()
        # Leaving while the thread computes would run llama.cpp's destructors under its feet.
        atexit.register(self.close)

    @property
    def state(self) -> State:
        with self._changed:
            return self._state

    @property
    def load_counts(self) -> tuple[int, int]:
        """Return how many requests run and how many wait."""
        with self._changed:
            return int(self._fifo.running is not None), len(self._fifo.waiting)

    def submit(self, model: Model, prompt: Sequence[int], sampling: Sampling) -> Job:
        """Queue a prepared prompt; raise EngineUnavailableError when it cannot be taken."""
        with self._changed:
            if self._state.model is not model or self._closing:
                raise _model_gone()
            job = Job(next(self._tickets), model, prompt, sampling, self._forget)
            self._fifo.admit(job.ticket)
            self._jobs[job.ticket] = job
            if self._fifo.running is not None or self._fifo.position(job.ticket):
                self._tell_positions(only=job)
            self._changed.notify_all()
            return job

    def close(self) -> None:
        """End the running job and the thread."""
        with self._changed:
            self._closing = True
            for ticket in (*self._fifo.waiting, self._fifo.running):
                if ticket is not None:
                    self._jobs[ticket].stop.request()
                    self._jobs[ticket].inbox.put(Failed(_model_gone()))
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(STOP_WAIT_S)
        atexit.unregister(self.close)

    def _run(self) -> None:
        self._load()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or bool(self._fifo.waiting))
                if self._closing:
                    return
                job = self._next_job()
            if job is not None:
                self._answer(job)
                self._forget(job)

    def _next_job(self) -> Job | None:
        ticket = self._fifo.start()
        self._tell_positions()
        return None if ticket is None else self._jobs[ticket]

    def _load(self) -> None:
        state = self._loaded()
        with self._changed:
            self._state = state
        LOG.info("engine is %s %s", state.state, state.detail)

    def _loaded(self) -> State:
        try:
            model = load(self._library, self._active, self._settings)
            model.warm_up()
        except ApplianceError as error:
            return State("empty", f"{error.message}; {error.hint}")
        except Exception as error:
            LOG.error("loading failed: %s", fault_of(error))
            return State("empty", f"the model could not be loaded ({type(error).__name__})")
        missing = "" if model.prompts.brings_template else " without a chat template, ChatML used"
        return State("ready", f"{self._active.name} {self._active.version}{missing}", model)

    def _answer(self, job: Job) -> None:
        # At once, so that a caller can tell an answer that began from one that still waited.
        job.inbox.put(Working())
        try:
            for event in job.model.answer(job.prompt, job.sampling, job.stop):
                job.inbox.put(event)
        except Cancelled:
            LOG.info("a request was cancelled")
        except ApplianceError as error:
            job.inbox.put(Failed(error))
        except Exception as error:
            LOG.error("a request failed: %s", fault_of(error))
            failure = EngineUnavailableError(f"the engine failed ({type(error).__name__})")
            job.inbox.put(Failed(failure))

    def _forget(self, job: Job) -> None:
        """Take a job that ended, or that waits and is not wanted any more, off the list."""
        with self._changed:
            own_thread = threading.current_thread() is self._thread
            # A running job leaves when its thread lets go of it, not when its caller does.
            if self._fifo.running == job.ticket and not own_thread:
                return
            if job.ticket in self._jobs:
                waited = self._fifo.position(job.ticket) is not None
                self._drop(job.ticket)
                if waited:
                    self._tell_positions()
            self._changed.notify_all()

    def _drop(self, ticket: int) -> Job:
        self._fifo.leave(ticket)
        return self._jobs.pop(ticket)

    def _tell_positions(self, only: Job | None = None) -> None:
        for position, ticket in enumerate(self._fifo.waiting):
            if only is None or ticket == only.ticket:
                self._jobs[ticket].inbox.put(Waiting(position))


def _model_gone() -> EngineUnavailableError:
    return EngineUnavailableError("the model is being stopped; nothing was asked")
