"""What the scheduler plans, carried out on a memory that checks every step."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.llama.batching.prefixes import Prompt
from appliance.llama.batching.scheduler import SEEDED_PIECE, Scheduler
from appliance.llama.batching.steps import Request, Step

SYSTEM = tuple(range(1_000, 1_100))


class Memory:
    """A context on paper: which cell holds which token, for which sequences."""

    def __init__(self, scheduler: Scheduler, pool: int) -> None:
        self.scheduler = scheduler
        self.pool = pool
        self.cells: dict[int, list[tuple[int, int]]] = {}  # sequence: (cell number, token)
        self.numbers = itertools.count()
        self.computed = 0
        self.requests: dict[int, Request] = {}
        self.loses = False

    def submit(
        self, ticket: int, tokens: Sequence[int], person: str = "eva", *, most: int = 4,
        public: int = 0, seeded: bool = False,
    ) -> None:  # fmt: skip
        request = Request(ticket, person, Prompt(tuple(tokens), public), most, seeded)
        self.requests[ticket] = request
        self.scheduler.submit(request)

    def take(self, budget: int = 10_000, together: int = 0) -> Step:
        """Admit, plan, carry out and check one step; every answer's next token is its ticket."""
        self.scheduler.admit()
        self.open()
        step = self.scheduler.step(budget, together)
        for copy in step.copies:
            assert copy.target not in self.cells
            assert len(self.cells[copy.source]) >= copy.length
            self.cells[copy.target] = self.cells[copy.source][: copy.length]
        for part in step.parts:
            held = self.cells.setdefault(part.sequence, [])
            assert len(held) == part.start, "positions follow each other without a gap"
            assert part.tokens
            held += [(next(self.numbers), token) for token in part.tokens]
            self.computed += len(part.tokens)
            prompt = self.requests[part.ticket].prompt.tokens
            shown = [token for _, token in held][: len(prompt)]
            assert tuple(shown) == prompt[: len(shown)], "what is held is this prompt's beginning"
        used = {number for held in self.cells.values() for number, _ in held}
        assert len(used) <= self.pool
        self.scheduler.done(step)
        for part in step.parts:
            if part.last:
                self.scheduler.chosen(part.ticket, part.ticket)
        return step

    def open(self) -> None:
        """Forget and bring back what the scheduler says, unless `loses` is set."""
        while True:
            opening = self.scheduler.open()
            for sequence in opening.forget:
                self.cells.pop(sequence, None)
            if (load := opening.load) is None:
                return
            assert load.sequence not in self.cells
            assert isinstance(load.state, list)
            if self.loses:
                self.scheduler.missed(load)
                continue
            assert len(load.state) >= load.length
            held = load.state[: load.length]
            self.cells[load.sequence] = [(next(self.numbers), token) for token in held]

    def leave(self, ticket: int) -> None:
        """Let a request go; write down what it held, if that is wanted."""
        if left := self.scheduler.leave(ticket):
            sequence, held = left
            tokens = [token for _, token in self.cells.get(sequence, [])]
            assert tokens == held.tokens, "what is written down is what was computed"
            if self.scheduler.make_room(held):
                self.scheduler.keep(held, tokens)


def memory(slots: int = 4, pool: int = 4_096, *, shares: bool = True, most: int = 4_096) -> Memory:
    scheduler = Scheduler(slots=slots, pool=pool, kept_tokens=most, waiting=1_000, shares=shares)
    return Memory(scheduler, pool)


def tickets(step: Step) -> list[int]:
    return [part.ticket for part in step.parts]


def test_answers_move_on_together() -> None:
    """Each step holds the next token of every answer that is being written."""
    paper = memory()
    for ticket in range(3):
        paper.submit(ticket, [ticket, ticket, ticket])
    paper.take()
    step = paper.take()
    assert (step.answers, step.prompt_tokens) == (3, 0)


def test_requests_join_and_leave_between_steps() -> None:
    """One that ends frees its slot for the next one before the next step."""
    paper = memory(slots=1)
    paper.submit(0, [1, 2, 3])
    paper.submit(1, [4, 5, 6])
    assert tickets(paper.take()) == [0]
    paper.leave(0)
    assert tickets(paper.take()) == [1]


def test_a_beginning_in_common_is_computed_once() -> None:
    """Requests that arrive together wait for the first to read what all begin with."""
    paper = memory()
    for ticket in range(4):
        paper.submit(ticket, [*SYSTEM, ticket, ticket], public=100, person=f"p{ticket}")
    while paper.scheduler.answering < 4:
        paper.take()
    assert paper.computed <= 102 + 3 * 2 + 4


def test_a_waiting_follower_takes_over_when_its_leader_leaves() -> None:
    """When the one that reads for others is cancelled, another goes on from there."""
    paper = memory()
    paper.submit(0, [*SYSTEM, 1])
    paper.submit(1, [*SYSTEM, 2])
    assert tickets(paper.take(budget=50)) == [0]
    paper.leave(0)
    assert tickets(paper.take()) == [1]
    assert paper.computed == 50 + 51


def test_the_next_question_of_a_conversation_reads_only_what_is_new() -> None:
    """A finished conversation is kept, its answer included, for its own next question."""
    paper = memory()
    paper.submit(7, [1, 2, 3, 4], "anna")
    paper.take()
    paper.take()
    paper.leave(7)
    paper.submit(8, [1, 2, 3, 4, 7, 5, 6], "anna")
    step = paper.take()
    assert step.prompt_tokens == 2


def test_what_one_person_asked_is_not_reused_for_another() -> None:
    """Beyond the public beginning, the same words of somebody else are computed anew."""
    paper = memory()
    words = [*SYSTEM, *range(50)]
    paper.submit(0, words, "anna", public=100)
    paper.take()
    paper.leave(0)
    paper.submit(1, words, "ben", public=100)
    assert paper.take().prompt_tokens == 50
    paper.submit(2, words, "anna", public=100)
    assert paper.take().prompt_tokens == 1


def test_a_part_that_only_one_side_calls_public_is_not_shared() -> None:
    """A long public part of one prompt opens nothing of a prompt whose own is shorter."""
    paper = memory()
    paper.submit(0, list(SYSTEM), "anna", public=10)
    paper.take()
    paper.submit(1, list(SYSTEM), "ben", public=99)
    assert paper.take().prompt_tokens == 90


def test_a_seeded_request_is_read_from_its_beginning_in_equal_pieces() -> None:
    """A seed copies nothing, and alone it is cut in the same way each time."""
    paper = memory()
    paper.submit(0, list(SYSTEM))
    paper.take()
    paper.leave(0)
    for ticket, budget in ((1, 7), (2, 1_000)):
        paper.submit(ticket, list(SYSTEM), seeded=True)
        sizes = [paper.take(budget).prompt_tokens for _ in range(2)]
        assert sizes == [SEEDED_PIECE, 100 - SEEDED_PIECE]
        paper.leave(ticket)


def test_a_seeded_prompt_beside_an_answer_takes_no_more_room_than_others() -> None:
    """What a seed promises holds where nothing else runs; running answers do not wait for it."""
    paper = memory()
    paper.submit(0, [1, 2], most=100)
    paper.take()
    paper.submit(1, list(SYSTEM), seeded=True)
    step = paper.take(budget=5)
    assert (step.answers, step.prompt_tokens) == (1, 5)


def test_what_cannot_be_cut_is_not_kept() -> None:
    """For a model whose memory is one state, every prompt is read whole."""
    paper = memory(shares=False)
    for ticket in range(2):
        paper.submit(ticket, list(SYSTEM))
        assert paper.take().prompt_tokens == 100
        paper.leave(ticket)


def test_the_first_and_the_shortest_prompt_are_read() -> None:
    """Half of the room is for who began first, half for who has least to read; no third one."""
    paper = memory()
    for ticket, size in ((0, 200), (1, 90), (2, 80)):
        paper.submit(ticket, [ticket * 1_000 + index for index in range(size)])
    sizes = {part.ticket: len(part.tokens) for part in paper.take(budget=128).parts}
    assert sizes == {0: 64, 2: 64}


def test_room_that_the_shortest_do_not_need_goes_to_the_first() -> None:
    """A step is filled as long as there is something to read."""
    paper = memory()
    for ticket, size in ((0, 200), (1, 10)):
        paper.submit(ticket, [ticket * 1_000 + index for index in range(size)])
    sizes = {part.ticket: len(part.tokens) for part in paper.take(budget=128).parts}
    assert sizes == {0: 118, 1: 10}


def read_together(paper: Memory, sizes: Sequence[int], together: int) -> list[int]:
    """Submit prompts of these sizes; return for each the step in which its answer begins."""
    for ticket, size in enumerate(sizes):
        paper.submit(ticket, [ticket * 1_000 + index for index in range(size)], most=50)
    begins: dict[int, int] = {}
    for step in range(100):
        for part in paper.take(budget=64, together=together).parts:
            if part.reads and part.last:
                begins[part.ticket] = step
        if len(begins) == len(sizes):
            break
    return [begins[ticket] for ticket in range(len(sizes))]


def test_prompts_that_come_together_begin_their_answers_together() -> None:
    """Whoever is read first waits with its last token until the others are read."""
    assert len(set(read_together(memory(), [150, 80, 100], together=400))) == 1


def test_nobody_waits_for_a_prompt_that_takes_long() -> None:
    """Beyond what may be read meanwhile, an answer begins as soon as its prompt is read."""
    long, short = read_together(memory(), [900, 80], together=400)
    assert short <= 3 < long


def test_waiting_for_others_ends_however_many_come() -> None:
    """Newcomers do not put off the answer of one that was read, step after step."""
    paper = memory(slots=8)
    paper.submit(0, range(60), most=50)
    for newest in range(1, 40):
        paper.submit(newest, [newest * 100 + index for index in range(90)], most=1)
        step = paper.take(budget=64, together=400)
        for part in step.parts:
            if part.last and part.ticket:
                paper.leave(part.ticket)
            if part.last and part.ticket == 0:
                assert newest <= 2 + 400 // 64
                return
    raise AssertionError("the first answer never began")


def test_an_answer_that_is_written_waits_for_nobody() -> None:
    """With an answer running, a prompt that is read begins its own at once."""
    paper = memory()
    paper.submit(0, [1, 2, 3], most=100)
    paper.take()
    paper.submit(1, range(100, 120), most=50)
    paper.submit(2, range(200, 300), most=50)
    step = paper.take(budget=40, together=1_000)
    assert [part.last for part in step.parts if part.ticket == 1] == [True]


def test_kept_conversations_hold_no_more_than_they_may() -> None:
    """Beyond the tokens that may be kept, the longest unused conversation goes."""
    paper = memory(most=120)
    for ticket in range(3):
        paper.submit(ticket, [ticket] * 50)
        paper.take()
        paper.leave(ticket)
    for ticket, said, read in ((3, 2, 1), (4, 1, 1), (5, 0, 50)):
        paper.submit(ticket, [said] * 50)
        assert paper.take().prompt_tokens == read
        paper.leave(ticket)


def test_an_answer_is_never_held_up_by_a_prompt() -> None:
    """While a long prompt is read, each step still moves every answer on."""
    paper = memory()
    paper.submit(0, [1, 2], most=100)
    paper.take()
    paper.submit(1, list(range(1_000)))
    for _ in range(20):
        step = paper.take(budget=10)
        assert (step.answers, step.prompt_tokens) == (1, 10)


def test_short_prompts_do_not_hold_up_a_long_one_for_ever() -> None:
    """On a slow machine a step has room for one token; the long prompt gets its turn all the same.

    Short ones come again and again, as in a ward at eight in the morning.
    """
    paper = memory(slots=3)
    paper.submit(0, range(50), most=1)
    paper.submit(1, [7, 8, 9], most=1)
    newest = 1
    for _ in range(200):
        for part in paper.take(budget=1).parts:
            if part.last:
                paper.leave(part.ticket)
                if part.ticket == 0:
                    return
        while paper.scheduler.running + paper.scheduler.waiting < 3:
            newest += 1
            paper.submit(newest, [newest * 10, 8, 9], most=1)
    raise AssertionError("the long prompt was never read")


def test_what_does_not_fit_waits_and_nobody_overtakes() -> None:
    """Room for prompt and longest answer is reserved before a request begins."""
    paper = memory(pool=100)
    paper.submit(0, range(60), most=10, person="anna")
    paper.submit(1, range(60), most=10, person="ben")
    paper.submit(2, range(5), most=5, person="carl")
    assert tickets(paper.take()) == [0]
    assert paper.scheduler.positions() == {1: 0, 2: 1}
    paper.leave(0)
    assert set(tickets(paper.take())) == {1, 2}


def test_after_a_fault_nothing_is_taken_for_held() -> None:
    """Those who wait begin afresh, and nothing is copied from what is gone."""
    paper = memory(slots=1)
    paper.submit(0, list(SYSTEM))
    paper.submit(1, list(SYSTEM))
    paper.take()
    paper.scheduler.forget_all()
    paper.cells.clear()
    assert paper.take().prompt_tokens == 100


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(60, 400), st.booleans())
def test_any_traffic_is_answered_within_the_memory(
    seed: int, slots: int, pool: int, shares: bool
) -> None:
    """Random people, prompts, budgets and cancels: every request ends, and the memory holds."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    paper = memory(slots, pool, shares=shares)
    paper.loses = chance.random() < 0.3
    written: dict[int, int] = {}
    waiting = iter(range(25))
    rounds = 0
    while (ticket := next(waiting, None)) is not None or paper.requests:
        rounds += 1
        assert rounds < 5_000
        if ticket is not None:
            public = chance.choice([0, 10, 30])
            own = [chance.randrange(3) for _ in range(chance.randrange(1, 20))]
            person = chance.choice("abc")
            paper.submit(
                ticket, [*SYSTEM[:public], *own], person, most=chance.randrange(1, 10),
                public=public, seeded=chance.random() < 0.2,
            )  # fmt: skip
        step = paper.take(chance.randrange(1, 40), chance.choice([0, 30, 200]))
        for part in step.parts:
            written[part.ticket] = written.get(part.ticket, 0) + part.last
        for done in [
            ticket
            for ticket, request in paper.requests.items()
            if written.get(ticket, 0) >= request.most or chance.random() < 0.05
        ]:
            paper.leave(done)
            del paper.requests[done]
    assert (paper.scheduler.running, paper.scheduler.waiting) == (0, 0)


def test_what_cannot_be_brought_back_is_read_again() -> None:
    """No room in one piece, say: the answer comes all the same, only later."""
    paper = memory()
    paper.submit(0, list(SYSTEM), "anna")
    paper.take()
    paper.leave(0)
    paper.loses = True
    paper.submit(1, [*SYSTEM, 1], "anna")
    assert paper.take().prompt_tokens == 101


def test_one_brings_a_conversation_back_and_others_copy_from_it() -> None:
    """The system prompt that all begin with is in the memory once."""
    paper = memory(slots=8)
    paper.submit(0, [*SYSTEM, 0], "anna", public=100)
    paper.take()
    paper.leave(0)
    for ticket in range(1, 6):
        paper.submit(ticket, [*SYSTEM, ticket, ticket], f"p{ticket}", public=100)
    assert paper.take().prompt_tokens == 5 * 2
    system = {number for held in paper.cells.values() for number, _ in held[:100]}
    assert len(system) == 100
