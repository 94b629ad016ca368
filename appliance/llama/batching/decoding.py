"""Many answers at once out of one context: plan a step, compute it, choose the next tokens.

Guarantee: every request that was taken ends with `Done` or `Failed`, or with `leave`; a fault of
llama.cpp in one step ends those that were in it and leaves the others waiting. `compute` is slow
and needs no lock; everything else is quick and is called by one thread at a time.
Not here: threads and callers (`worker`), what a prompt says (`prompt`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.errors import ApplianceError, EngineUnavailableError, fault_of
from appliance.llama.answers import AnswerWriter
from appliance.llama.batching.pace import Pace
from appliance.llama.batching.prefixes import Held, Prompt
from appliance.llama.batching.scheduler import Scheduler
from appliance.llama.batching.steps import Request, Step
from appliance.llama.context import AbortedError, Context
from appliance.llama.events import Done, Event, Failed
from appliance.llama.placing.placement import Placement
from appliance.llama.sampling import Sampling

LOG = logging.getLogger("appliance.llama")
MOST_WAITING = 256
ALONE = -1

Said = tuple[int, Event]


@dataclass(frozen=True)
class Computed:
    """What became of a step: rows of logits by ticket, or the error, and how long it took."""

    step: Step
    rows: dict[int, int]
    began: float
    error: ApplianceError | None = None
    aborted: bool = False


class Decoding:
    """The one way into a context."""

    def __init__(self, context: Context, placement: Placement) -> None:
        self.context = context
        self.slots = placement.slots
        self.steps = 0
        self._context_tokens = min(placement.context_tokens, placement.pool_tokens)
        self._pace = Pace(max(1, placement.batch_tokens - placement.slots))
        self._writers: dict[int, AnswerWriter] = {}
        # Sequences whose requests have ended, and what they hold.
        self._left: list[tuple[int, Held]] = []
        self._scheduler = Scheduler(
            slots=placement.slots,
            pool=placement.pool_tokens,
            kept_tokens=placement.kept_tokens,
            waiting=MOST_WAITING,
            shares=context.shares,
        )

    @property
    def running(self) -> int:
        return self._scheduler.running

    @property
    def waiting(self) -> int:
        return self._scheduler.waiting

    @property
    def answering(self) -> int:
        """How many answers are being written."""
        return self._scheduler.answering

    def writer(self, prompt: Prompt, sampling: Sampling) -> AnswerWriter:
        """Return the writer of an answer, to be submitted or closed; from any thread.

        Raises BadInputError for a grammar or a token that cannot be used.
        """
        most = max(1, min(sampling.max_tokens, self._context_tokens - len(prompt)))
        return AnswerWriter(self.context.weights, sampling, prompt, most)

    def submit(self, ticket: int, person: str, writer: AnswerWriter) -> None:
        """Take a request; raise EngineUnavailableError when too many wait."""
        self._scheduler.submit(
            Request(ticket, person, writer.prompt, writer.most, seeded=writer.seeded)
        )
        self._writers[ticket] = writer

    def leave(self, ticket: int) -> None:
        """Forget a request wherever it stands; its slot is free at once."""
        writer = self._writers.pop(ticket, None)
        if writer is not None:
            writer.close()
        left = self._scheduler.leave(ticket)
        if left is not None:
            self._left.append(left)

    def put_away(self) -> None:
        """Write down what ended answers left in the memory; what they said is sent before that."""
        self._scheduler.age(time.monotonic())
        left, self._left = self._left, []
        for sequence, held in left:
            if self._scheduler.make_room(held):
                state = self.context.save(sequence)
                if state is not None:
                    self._scheduler.keep(held, state)

    def clear(self) -> None:
        """Forget every request, and all that the memory holds."""
        for ticket in list(self._writers):
            self.leave(ticket)
        self._forget_all()

    def positions(self) -> dict[int, int]:
        """Return for each request that waits how many go before it."""
        return self._scheduler.positions()

    def admit(self) -> list[int]:
        """Let those begin for whom there is room; return their tickets."""
        return self._scheduler.admit()

    def plan(self) -> Step | None:
        """Return the next step, None when there is nothing to compute."""
        if not self._scheduler.running:
            return None
        self._open()
        budget = self._pace.budget(self._scheduler.answering)
        return self._scheduler.step(budget, self._pace.together)

    def _open(self) -> None:
        """Bring back what fresh requests reuse."""
        self.put_away()
        while True:
            opening = self._scheduler.open()
            for sequence in opening.forget:
                self.context.forget(sequence)
            if opening.load is None:
                return
            if not self.context.load(opening.load):
                self._scheduler.missed(opening.load)

    def compute(self, step: Step) -> Computed:
        """Do a step; never raises."""
        began = time.perf_counter()
        try:
            return Computed(step, self.context.compute(step), began)
        except AbortedError:
            return Computed(step, {}, began, aborted=True)
        except ApplianceError as error:
            return Computed(step, {}, began, error)
        except Exception as error:
            LOG.error("a step failed: %s", fault_of(error))
            return Computed(step, {}, began, _failed(error))

    def collect(self, computed: Computed) -> list[Said]:
        """Choose the next tokens and return what is to be said to whom."""
        if computed.error is not None:
            return self._fail(computed.error)
        if computed.aborted:
            return []
        step = computed.step
        self._scheduler.done(step)
        self.steps += 1
        said: list[Said] = []
        for ticket, row in computed.rows.items():
            said += ((ticket, event) for event in self._next(ticket, row))
        seconds = time.perf_counter() - computed.began
        self._pace.note(step.answers, step.prompt_tokens, seconds)
        return said

    def alone(self, prompt: Prompt, sampling: Sampling) -> Iterator[Event]:
        """Yield one answer while nothing else is asked, as before the first question."""
        self.submit(ALONE, "", self.writer(prompt, sampling))
        try:
            while ALONE in self._writers:
                self.admit()
                step = self.plan()
                if step is None:
                    raise EngineUnavailableError("the context is too small for an answer")
                for _, event in self.collect(self.compute(step)):
                    yield event
        finally:
            self.leave(ALONE)

    def _next(self, ticket: int, row: int) -> Iterator[Event]:
        writer = self._writers[ticket]
        try:
            chosen = writer.sampler.choose(self.context.pointer, row)
            self._scheduler.chosen(ticket, chosen.token)
            yield from writer.take(chosen)
        except ApplianceError as error:
            yield Failed(error)
        except Exception as error:
            LOG.error("a request failed: %s", fault_of(error))
            yield Failed(_failed(error))
        else:
            if not writer.done:
                return
        self.leave(ticket)

    def _fail(self, error: ApplianceError) -> list[Said]:
        """End everything that runs; its memory is not to be trusted any more."""
        running = [ticket for ticket in self._writers if self._scheduler.is_running(ticket)]
        for ticket in running:
            self._writers.pop(ticket).close()
        self._forget_all()
        return [(ticket, Failed(error)) for ticket in running]

    def _forget_all(self) -> None:
        self._left.clear()
        self._scheduler.forget_all()
        self.context.clear()


def _failed(error: Exception) -> EngineUnavailableError:
    return EngineUnavailableError(f"the engine failed ({type(error).__name__})")


def ends(event: Event) -> bool:
    """Tell whether nothing comes after this event."""
    return isinstance(event, Done | Failed)
