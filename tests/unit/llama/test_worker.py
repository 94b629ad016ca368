"""Many requests at once in a real llama.cpp with random weights."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.config import Engine as Settings
from appliance.errors import EngineUnavailableError
from appliance.llama.batching.steps import Load
from appliance.llama.events import Done, Event, Failed, Piece, Waiting
from appliance.llama.library_view import ActiveModel
from appliance.llama.model import Model
from appliance.llama.prompt import Turn
from appliance.llama.sampling import Sampling
from appliance.llama.worker import Job, Worker
from tests.simulators.engine_process import put_model

PATIENCE_S = 60.0
LONG = Sampling(20_000, 0.0, 1.0, None, ())
SHORT = Sampling(12, 0.0, 1.0, None, ())


class Ward:
    """A worker with two slots and a model whose answers never end by themselves."""

    def __init__(self, library: Path, **settings: int) -> None:
        digest = put_model(library, context=131_072)
        given = {"threads": 1, "slots": 2, "pool_tokens": 131_072, **settings}
        self.worker = Worker(library, ActiveModel("tiny", "1", digest), Settings(**given))
        self.worker.start()
        until(lambda: self.worker.state.state != "loading")
        found = self.worker.state.model
        assert found is not None, self.worker.state.detail
        self.model: Model = found

    def ask(self, text: str, sampling: Sampling = SHORT, person: str = "eva") -> Job:
        turns = [Turn("system", "be careful"), Turn("user", text)]
        prompt = self.model.prepare(turns, sampling)
        return self.worker.submit(self.model, prompt, sampling, person)


def until(met: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < end, "this did not come about"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    ward = Ward(tmp_path_factory.mktemp("library"))
    yield ward
    ward.worker.close()


@pytest.fixture(autouse=True)
def _idle(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "ward" in request.fixturenames:
        worker = request.getfixturevalue("ward").worker
        until(lambda: worker.load_counts == (0, 0))


def read(job: Job) -> list[Event]:
    return list(job.events(0.05))


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Piece))


def begun(job: Job) -> Job:
    """Wait until the first piece of an answer is there."""
    for event in job.events(0.05):
        if isinstance(event, Piece):
            return job
    raise AssertionError("the answer ended before it began")


def test_answers_written_together_are_those_written_alone(ward: Ward) -> None:
    """Eight requests over two slots give the texts that each gives by itself."""
    warm = [Sampling(24, 1.0, 1.0, seed, ()) for seed in range(8)]
    alone = [text_of(read(ward.ask("good morning", sampling))) for sampling in warm]
    jobs = [ward.ask("good morning", sampling, str(sampling.seed)) for sampling in warm]
    together = [text_of(read(job)) for job in jobs]
    assert together == alone
    assert len(set(alone)) == 8


def test_cancel_frees_the_slot_within_one_step(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two running requests one is cancelled; the one that waited begins with the next step."""
    jobs = [begun(ward.ask("one", LONG)), begun(ward.ask("two", LONG))]
    waiting = ward.ask("three")
    decoding, left = ward.model.decoding, []
    leave = decoding.leave
    monkeypatch.setattr(
        decoding, "leave", lambda ticket: (left.append(decoding.steps), leave(ticket))
    )
    asked = decoding.steps
    jobs[0].cancel()
    until(lambda: ward.worker.load_counts[1] == 0)
    assert left[0] - asked <= 1
    assert isinstance(read(waiting)[-1], Done)
    jobs[1].cancel()


def test_a_cancelled_request_that_waits_is_gone_at_once(ward: Ward) -> None:
    """The place of whoever came later moves up."""
    running = [begun(ward.ask("one", LONG)), begun(ward.ask("two", LONG))]
    first, second = ward.ask("three"), ward.ask("four")
    seen = second.events(0.05)
    assert next(seen) == Waiting(1)
    first.cancel()
    assert next(event for event in seen if event != Waiting(1)) == Waiting(0)
    for job in (second, *running):
        job.cancel()


def test_one_person_does_not_hold_up_another(ward: Ward) -> None:
    """Whoever has a request running waits behind somebody who has none."""
    running = [begun(ward.ask("one", LONG, "anna")), begun(ward.ask("two", LONG, "anna"))]
    third, other = ward.ask("three", LONG, "anna"), ward.ask("four", person="ben")
    running[0].cancel()
    assert isinstance(read(other)[-1], Done)
    for job in (third, running[1]):
        job.cancel()


def test_a_long_prompt_does_not_stop_a_running_answer(ward: Ward) -> None:
    """While thousands of tokens are read, the other answer goes on step by step."""
    running = begun(ward.ask("one", LONG))
    reading = ward.ask("word " * 1_200, SHORT)
    pieces = 0
    for event in reading.events(0.01):
        while not running.inbox.empty():
            pieces += isinstance(running.inbox.get(), Piece)
        if isinstance(event, Piece):
            break
    assert pieces > 10
    for job in (running, reading):
        job.cancel()


def test_a_prompt_that_is_read_for_nobody_ends_at_once(ward: Ward) -> None:
    """When all that a step serves is cancelled, llama.cpp itself is told to stop."""
    job = ward.ask("word " * 12_000, SHORT)
    until(lambda: ward.worker.load_counts[0] == 1)
    job.cancel()
    until(lambda: ward.worker.load_counts == (0, 0))
    assert text_of(read(ward.ask("hello"))) == text_of(read(ward.ask("hello")))


@pytest.mark.parametrize(
    "fault",
    [EngineUnavailableError("llama.cpp could not go on (code -3)"), ValueError("no such shape")],
    ids=["of llama.cpp", "of our own"],
)
def test_a_fault_of_a_step_ends_what_runs_and_nothing_else(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """Those in the failed step get an error; whoever waits is answered afterwards."""
    jobs = [begun(ward.ask("one", LONG)), begun(ward.ask("two", LONG))]
    waiting = ward.ask("three")
    context, healthy = ward.model.decoding.context, ward.model.decoding.context.compute

    def failing(_step: object) -> dict[int, int]:
        monkeypatch.setattr(context, "compute", healthy)
        raise fault

    monkeypatch.setattr(context, "compute", failing)
    assert all(isinstance(read(job)[-1], Failed) for job in jobs)
    assert text_of(read(waiting)) == text_of(read(ward.ask("three")))


def test_a_fault_nobody_foresaw_ends_every_request(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No caller hangs, the memory is emptied, and the next request is answered."""
    jobs = [begun(ward.ask("one", LONG)), begun(ward.ask("two", LONG)), ward.ask("three")]
    decoding, healthy = ward.model.decoding, ward.model.decoding.plan
    emptied: list[bool] = []
    clear = decoding.context.clear
    monkeypatch.setattr(decoding.context, "clear", lambda: (emptied.append(True), clear()))

    def broken() -> None:
        monkeypatch.setattr(decoding, "plan", healthy)
        raise RuntimeError("no plan")

    monkeypatch.setattr(decoding, "plan", broken)
    assert all(isinstance(read(job)[-1], Failed) for job in jobs)
    assert isinstance(read(ward.ask("four"))[-1], Done)
    assert emptied


def test_who_comes_together_is_read_together(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read as long as another request is on its way, so that both go into one step."""
    monkeypatch.setattr("appliance.llama.worker.GATHER_S", PATIENCE_S)
    before = ward.worker.steps
    with ward.worker.expecting():
        first = ward.ask("we come")
        time.sleep(0.1)
        assert ward.worker.steps == before
        second = ward.ask("together", person="ben")
    assert [type(read(job)[-1]) for job in (first, second)] == [Done, Done]
    # One step reads both, and each further one moves both answers on.
    assert ward.worker.steps - before < 2 * SHORT.max_tokens


def test_nobody_waits_long_for_a_request_that_never_comes(ward: Ward) -> None:
    """A caller that sends its question slowly holds up nobody else's."""
    with ward.worker.expecting():
        assert isinstance(read(ward.ask("I am here"))[-1], Done)


def test_an_answer_ends_before_what_it_held_is_written_down(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last words do not wait for a copy of the conversation, and the copy needs no newcomer."""
    context = ward.model.decoding.context
    real, ended = context.save, threading.Event()
    before: list[bool] = []

    def save(sequence: int) -> object:
        before.append(ended.wait(PATIENCE_S))
        return real(sequence)

    monkeypatch.setattr(context, "save", save)
    assert isinstance(read(ward.ask("good evening", person="ida"))[-1], Done)
    ended.set()
    until(lambda: before == [True])


def test_a_conversation_that_is_brought_back_goes_on_as_if_it_had_stayed(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written down of a sequence is its memory: the answer is that of a full reading."""
    loaded: list[int] = []
    context = ward.model.decoding.context
    real = context.load

    def load(wish: Load) -> bool:
        done = real(wish)
        loaded.append(wish.length * done)
        return done

    monkeypatch.setattr(context, "load", load)
    said = text_of(read(ward.ask("good morning", person="fay")))
    turns = [Turn("system", "be careful"), Turn("user", "good morning"), Turn("assistant", said)]
    prompt = ward.model.prepare([*turns, Turn("user", "and now?")], SHORT)
    again, anew = (
        text_of(read(ward.worker.submit(ward.model, prompt, SHORT, person)))
        for person in ("fay", "somebody else")
    )
    assert again == anew
    assert max(loaded) > prompt.public


def test_many_threads_may_ask_and_leave_at_once(ward: Ward) -> None:
    """Under random cancels from many threads, every request that stays is answered."""
    ended: list[Event] = []

    def visit(number: int) -> None:
        for round_ in range(6):
            job = ward.ask(f"{number} {round_}", person=str(number % 3))
            if (number + round_) % 3 == 0:
                time.sleep(0.001 * number)
                job.cancel()
            else:
                ended.append(read(job)[-1])

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(ended) == 48
    assert all(isinstance(event, Done) for event in ended)


def test_closing_ends_every_request(tmp_path: Path) -> None:
    """Running and waiting requests get an error, and nothing is taken any more."""
    ward = Ward(tmp_path, slots=1)
    jobs = [begun(ward.ask("one", LONG)), ward.ask("two")]
    ward.worker.close()
    assert all(isinstance(read(job)[-1], Failed) for job in jobs)
    with pytest.raises(EngineUnavailableError, match="being stopped"):
        ward.ask("three")
