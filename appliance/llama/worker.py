"""The one thread that owns the model: loads it, takes the steps, lets go of what is cancelled.

Guarantee: a job ends with exactly one of `Done`, `Failed` or silence after `cancel`; nothing a
job does stops the thread; a cancelled job's slot is free before the next step. The model is
`ready` only after it has written a token.
Not here: HTTP, and what a step holds (`decoding`). Not here either: a way to survive an abort
inside llama.cpp; that ends the process, whose manager starts a new one.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from appliance.config import Engine as Settings
from appliance.errors import ApplianceError, EngineUnavailableError, fault_of
from appliance.llama.answers import AnswerWriter
from appliance.llama.batching.decoding import Computed, ends
from appliance.llama.batching.prefixes import Prompt
from appliance.llama.events import Event, Failed, Waiting, Working
from appliance.llama.library_view import ActiveModel
from appliance.llama.model import Model, load
from appliance.llama.sampling import Sampling

LOG = logging.getLogger("appliance.llama")
STOP_WAIT_S = 5.0
# So long a step waits for requests that are being prepared, when no answer waits with it.
GATHER_S = 0.02
# So often somebody looks for conversations that nobody came back for.
TIDY_EVERY_S = 30.0


@dataclass(frozen=True)
class State:
    """What the engine says of itself."""

    state: Literal["loading", "ready", "empty"]
    detail: str = ""
    model: Model | None = None


@dataclass(eq=False)
class Job:
    """One request on its way through the worker; `events` and `cancel` are for its caller."""

    ticket: int
    forget: Callable[[Job], None]
    cancelled: bool = False
    place: int | None = None
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
            if ends(event):
                return

    def cancel(self) -> None:
        """End the job wherever it stands; harmless when it has ended already."""
        self.forget(self)


class Worker:
    """Runs the jobs of the one model of this process."""

    def __init__(self, library: Path, active: ActiveModel, settings: Settings) -> None:
        self._library = library
        self._active = active
        self._settings = settings
        self._changed = threading.Condition()
        self._tickets = itertools.count()
        self._jobs: dict[int, Job] = {}
        self._computing: frozenset[int] = frozenset()
        self._expected = 0
        self._state = State("loading")
        self._closing = False
        self._threads: int | None = None
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
            model = self._state.model
            return (model.decoding.running, model.decoding.waiting) if model else (0, 0)

    @property
    def slots(self) -> int:
        """How many answers can be written at once."""
        model = self.state.model
        return model.decoding.slots if model else 0

    @property
    def steps(self) -> int:
        """How many steps were computed; one that stands still while requests run is wedged."""
        model = self.state.model
        return model.decoding.steps if model else 0

    @contextlib.contextmanager
    def expecting(self) -> Iterator[None]:
        """Say that a request is being prepared: who comes together is read together."""
        with self._changed:
            self._expected += 1
        try:
            yield
        finally:
            with self._changed:
                self._expected -= 1
                self._changed.notify_all()

    def submit(self, model: Model, prompt: Prompt, sampling: Sampling, person: str = "") -> Job:
        """Queue a prepared prompt; raise EngineUnavailableError when it cannot be taken.

        `person` is any word that is the same for all requests of one person: time is shared
        fairly among people, and what one asked is not reused for another.
        """
        # Before the lock: a grammar may take milliseconds to load, and a step would wait for it.
        writer = model.decoding.writer(prompt, sampling)
        try:
            with self._changed:
                return self._submit(model, person, writer)
        except BaseException:
            writer.close()
            raise

    def _submit(self, model: Model, person: str, writer: AnswerWriter) -> Job:
        if self._state.model is not model or self._closing:
            raise _model_gone()
        job = Job(next(self._tickets), self._cancel)
        model.decoding.submit(job.ticket, person, writer)
        self._jobs[job.ticket] = job
        if model.decoding.running >= model.decoding.slots:
            self._tell_positions(model)
        self._changed.notify_all()
        return job

    def use_threads(self, count: int) -> None:
        """Compute with so many threads from the next step on: another model wants its part."""
        with self._changed:
            self._threads = count

    def close(self) -> None:
        """End the running jobs and the thread."""
        with self._changed:
            self._closing = True
            for job in self._jobs.values():
                job.inbox.put(Failed(_model_gone()))
            self._abort()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(STOP_WAIT_S)
        atexit.unregister(self.close)

    def _run(self) -> None:
        self._load()
        model = self.state.model
        if model is None:
            return
        while True:
            try:
                if not self._awaits_work(model):
                    return
                self._take_step(model)
            except Exception as error:
                LOG.error("a step failed: %s", fault_of(error))
                self._end_all(model, f"the engine failed ({type(error).__name__})")

    def _awaits_work(self, model: Model) -> bool:
        """Tidy up until there is something to do; return False when there will be nothing more."""
        more = True
        while True:
            with self._changed:
                wait_s = 0 if more else TIDY_EVERY_S
                self._changed.wait_for(lambda: self._closing or bool(self._jobs), wait_s)
                if self._closing or self._jobs:
                    return not self._closing
                model.decoding.put_away()
            more = model.decoding.context.get_ready()

    def _take_step(self, model: Model) -> None:
        """Let go, let in, compute one step without the lock, and tell what came of it."""
        with self._changed:
            if not model.decoding.answering:
                self._changed.wait_for(lambda: not self._expected or self._closing, GATHER_S)
            self._let_go(model)
            self._let_in(model)
            step = model.decoding.plan()
            self._computing = frozenset(part.ticket for part in step.parts) if step else frozenset()
            if not self._closing:
                model.decoding.context.allow()
            if self._threads is not None:
                model.decoding.context.use_threads(self._threads)
                self._threads = None
            if step is None:
                if self._jobs:
                    raise EngineUnavailableError("nothing of what waits fits into the memory")
                return
        computed = model.decoding.compute(step)
        with self._changed:
            self._computing = frozenset()
            self._tell(model, computed)

    def _let_go(self, model: Model) -> None:
        for job in [job for job in self._jobs.values() if job.cancelled]:
            model.decoding.leave(job.ticket)
            del self._jobs[job.ticket]
            LOG.info("a request was cancelled")

    def _let_in(self, model: Model) -> None:
        begun = model.decoding.admit()
        for ticket in begun:
            # At once, so that a caller can tell an answer that began from one that still waited.
            self._jobs[ticket].inbox.put(Working())
        if begun or model.decoding.waiting:
            self._tell_positions(model)

    def _tell(self, model: Model, computed: Computed) -> None:
        for ticket, event in model.decoding.collect(computed):
            self._jobs[ticket].inbox.put(event)
            if ends(event):
                del self._jobs[ticket]

    def _tell_positions(self, model: Model) -> None:
        for ticket, place in model.decoding.positions().items():
            job = self._jobs[ticket]
            if job.place != place:
                job.place = place
                job.inbox.put(Waiting(place))

    def _cancel(self, job: Job) -> None:
        with self._changed:
            if self._jobs.get(job.ticket) is not job:
                return
            job.cancelled = True
            # One whose caller left must not hold the others up; with others in the step, it waits
            # for its end, which is near.
            if all(self._jobs[ticket].cancelled for ticket in self._computing):
                self._abort()
            self._changed.notify_all()

    def _abort(self) -> None:
        if self._computing and self._state.model is not None:
            self._state.model.decoding.context.abort()

    def _end_all(self, model: Model, message: str) -> None:
        """End every job after a fault nobody foresaw; what comes next begins afresh.

        In an empty memory: what was to be forgotten in that step may still be there.
        """
        with self._changed:
            for job in self._jobs.values():
                job.inbox.put(Failed(EngineUnavailableError(message)))
            self._jobs.clear()
            model.decoding.clear()
            self._computing = frozenset()

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


def _model_gone() -> EngineUnavailableError:
    return EngineUnavailableError("the model is being stopped; nothing was asked")
