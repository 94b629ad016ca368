"""Which request runs in which sequence, what it reuses, and what goes into the next step.

Pure: it knows tokens and numbers, no llama.cpp. One memory of `pool` cells is shared by all
sequences. Guarantees:

- What is admitted always fits: its prompt and its longest answer are reserved before it begins.
- A beginning that another request holds or is about to compute is computed once: whoever comes
  second waits for the first to get there, in its slot, and copies. What a finished conversation
  held is brought back.
- In each step every running answer moves on by one token; the prompts that are being read get
  what room the step has beside (`reading`).

Not here: time (`pace`), who is next (`queueing`), what may be shared (`prefixes`).
"""

from __future__ import annotations

from appliance.llama.batching.kept import Conversations
from appliance.llama.batching.prefixes import Held
from appliance.llama.batching.queueing import Queue, Waiter
from appliance.llama.batching.reading import Reading
from appliance.llama.batching.sequences import Copy, Sequences
from appliance.llama.batching.steps import Load, Opening, Request, Running, Step

# Waiting for less than this is not worth it: reading it costs less than a step.
LEAST_AWAITED = 24
# A seed promises the same answer only when the prompt is read in the same pieces each time, as it
# is where nothing else runs.
SEEDED_PIECE = 64


class Scheduler:
    """Slots, sequences and cells of one context; used by one thread at a time.

    `slots`: requests that run at once. `kept_tokens`: of finished conversations, kept outside of
    the memory. `shares` is false for models whose memory cannot be cut at any place.
    """

    def __init__(
        self,
        *,
        slots: int,
        pool: int,
        kept_tokens: int,
        waiting: int,
        shares: bool = True,
    ) -> None:
        self._slots = slots
        self._pool = pool
        self._shares = shares
        self._queue = Queue(waiting)
        self._requests: dict[int, Request] = {}
        self._running: dict[int, Running] = {}
        self._sequences = Sequences(slots)
        self._kept = Conversations(kept_tokens if shares else 0)
        self._reading = Reading()

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def answering(self) -> int:
        """How many answers are being written, prompts that are still read aside."""
        return sum(not run.unread for run in self._running.values())

    def is_running(self, ticket: int) -> bool:
        return ticket in self._running

    def submit(self, request: Request) -> None:
        """Queue a request; raise EngineUnavailableError when too many wait."""
        self._queue.add(Waiter(request.ticket, request.person))
        self._requests[request.ticket] = request

    def positions(self) -> dict[int, int]:
        """Return for each one that waits how many go before it."""
        return {waiter.ticket: place for place, waiter in enumerate(self._queue.order())}

    def leave(self, ticket: int) -> tuple[int, Held] | None:
        """Forget a request wherever it stands.

        Returns its sequence and what that holds. It may be written down and given to `keep` until
        `open` says that it is to be forgotten, if `make_room` wants it.
        """
        if self._queue.drop(ticket):
            del self._requests[ticket]
            return None
        run = self._running.pop(ticket, None)
        if run is None:
            return None
        self._queue.end(run.request.person)
        self._sequences.release(run.sequence)
        del run.held.tokens[run.held.computed :]
        return run.sequence, run.held

    def age(self, now: float) -> None:
        """Note what time it is, in seconds, and forget what nobody came back for."""
        self._kept.age(now)

    def make_room(self, held: Held) -> bool:
        """Tell whether it is worth writing down what a request held; if so, there is room then."""
        if not self._kept.wants(held):
            return False
        self._kept.make_room(held)
        return True

    def keep(self, held: Held, state: object) -> None:
        """Keep what was written down of a request that left."""
        self._kept.keep(held, state)

    def admit(self) -> list[int]:
        """Let those begin for whom there is a slot and room; return their tickets."""
        begun = []
        for waiter in self._queue.order():
            request = self._requests[waiter.ticket]
            if len(self._running) >= self._slots or not self._has_room(request):
                break  # strictly in turn: whoever needs less room does not overtake
            self._queue.begin(waiter)
            del self._requests[waiter.ticket]
            self._begin(request)
            begun.append(waiter.ticket)
        return begun

    def open(self) -> Opening:
        """Decide what fresh requests reuse. To be carried out, again and again until nothing is
        loaded, before `step`: what one request loads, others may copy.
        """
        loads = (self._match(run) for run in self._running.values())
        load = next((load for load in loads if load), None)
        return Opening(self._sequences.to_forget(), load)

    def missed(self, load: Load) -> None:
        """Note that something could not be brought back; it is computed instead."""
        self._running[load.ticket].held.computed = 0

    def step(self, budget: int, together: int = 0) -> Step:
        """Return what to compute next with at most `budget` prompt tokens, which may be none
        while answers are written.

        While no answer is written, a prompt that was read waits for others that are being read,
        as long as no more than `together` tokens are to be read meanwhile.
        """
        runs = list(self._running.values())
        parts = [run.part(1) for run in runs if not run.unread]
        unread = [run for run in runs if run.unread]
        if len(runs) == 1 and unread and unread[0].request.seeded:
            sizes = [(unread[0], min(SEEDED_PIECE, unread[0].unread))]
        else:
            sizes = self._reading.sizes(unread, budget, 0 if parts else together)
        parts += [run.part(size) for run, size in sizes]
        return Step(self._sequences.to_copy(), tuple(parts))

    def done(self, step: Step) -> None:
        """Note that a step was computed."""
        for part in step.parts:
            self._running[part.ticket].held.computed += len(part.tokens)

    def chosen(self, ticket: int, token: int) -> None:
        """Note the next token of an answer; it is computed in the next step."""
        self._running[ticket].held.tokens.append(token)

    def forget_all(self) -> None:
        """Note that the memory is empty, after a fault; nothing runs any more."""
        for run in list(self._running.values()):
            self._queue.end(run.request.person)
        self._running.clear()
        self._sequences.clear()
        self._kept.clear()

    # --- room

    def _has_room(self, request: Request) -> bool:
        reserved = sum(run.request.cells for run in self._running.values())
        return reserved + request.cells <= self._pool

    # --- beginnings in common

    def _begin(self, request: Request) -> None:
        held = Held(request.person, request.prompt.public, list(request.prompt.tokens))
        self._running[request.ticket] = Running(request, self._sequences.take(), held)

    def _match(self, run: Running) -> Load | None:
        """Decide once what a fresh request reuses, as soon as it is there; return what to load."""
        if run.begun:
            return None
        if not self._shares or run.request.seeded:
            run.begun = True
            return None
        source, length = self._held_by_others(run)
        request = run.request
        kept, more = self._kept.best(request.person, run.prompt, request.prompt.public)
        awaited, coming = self._coming(run)
        if awaited is not None and coming >= max(length, more) + LEAST_AWAITED:
            run.awaits, run.expects = awaited, coming
            return None
        run.awaits, run.expects, run.begun = None, 0, True
        run.held.computed = max(length, more)
        if kept is not None and more > length:
            self._kept.use(kept)
            return Load(request.ticket, run.sequence, kept.state, more)
        if source is not None and length:
            self._sequences.copy(Copy(source, run.sequence, length))
        return None

    def _held_by_others(self, run: Running) -> tuple[int | None, int]:
        """Return the sequence in which most of a prompt is computed already, and how much."""
        best: tuple[int | None, int] = (None, 0)
        for other in self._running.values():
            if other.begun and other.held.computed > best[1]:
                offered = other.held.offers(
                    run.request.person, run.prompt, run.request.prompt.public
                )
                length = min(offered, other.held.computed)
                if length > best[1]:
                    best = (other.sequence, length)
        return best

    def _coming(self, run: Running) -> tuple[int | None, int]:
        """Return the sequence that is computing most of a prompt, and how much that will be."""
        best: tuple[int | None, int] = (None, 0)
        for other in self._running.values():
            if other is run or not other.begun or not other.unread or other.request.seeded:
                continue
            length = other.held.offers(run.request.person, run.prompt, run.request.prompt.public)
            if length > max(best[1], other.held.computed):
                best = (other.sequence, length)
        return best
