"""An engine that dies before anything was shown is asked again, and the record says how often."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.assembly import Appliance
from appliance.bundles.inventory import ModelInfo
from appliance.bundles.library import Library
from appliance.bundles.states import State
from appliance.cli.actor import console_actor
from appliance.conversations.retention import CONVERSATION
from appliance.errors import EngineUnavailableError
from appliance.identity.permissions import Actor
from appliance.inference.engine import (
    Delta,
    Finished,
    Generation,
    Message,
    Progress,
    TokenLogprob,
    Tool,
    ToolCall,
    Tools,
)
from appliance.inference.openai_engine import OpenAIEngine
from appliance.operations import operations_for
from appliance.operations.answer_run import AnswerRun
from appliance.operations.persons import opaque
from appliance.operations.questions import Question, SamplingWish
from appliance.operations.scopes import Wanted
from tests.simulators.fake_upstream import WORDS, FakeUpstream
from tests.unit.operations.asked import END_S, Entries, Watched, eventually


class Upstream:
    """A server in a process of its own, which is killed and started again at the same socket."""

    def __init__(self, digest: str) -> None:
        socket = Path(tempfile.mkdtemp(prefix="up-")) / "m.sock"
        self.server = FakeUpstream(digest, [socket]).start()
        self.engine = OpenAIEngine(uds=socket)

    def die(self, run: AnswerRun) -> None:
        """Kill it in the middle of whatever it does, and wait until that was noticed."""
        self.server.kill()
        assert eventually(lambda: run.snapshot().state == "loading" or run.snapshot().ended)


@pytest.fixture
def upstream(appliance: Appliance) -> Iterator[Upstream]:
    made = Upstream(appliance.library.by_name("tiny").digest)
    yield made
    made.server.kill()
    made.engine.close()


@pytest.fixture
def ask(appliance: Appliance, upstream: Upstream, clinician: Actor) -> Callable[[str], AnswerRun]:
    """Return a function that asks that server."""
    verbs = operations_for(replace(appliance, engine=upstream.engine))
    return lambda text: verbs.asking.ask(clinician, Question.of(text))


def reading(run: AnswerRun) -> bool:
    """Tell whether the engine has begun with it, as its signs of life say."""
    version = run.snapshot().version
    state = run.wait(version, 2)
    return state.version > version and state.state == "queued" and state.position is None


def test_a_question_that_stood_in_line_survives_the_death_of_its_engine(
    ask: Callable[[str], AnswerRun], upstream: Upstream, entries: Entries
) -> None:
    """Killed twice meanwhile: one answer and one outcome, which tells of three starts."""
    run = ask("line")
    for last in (False, True):
        assert eventually(lambda: run.snapshot().position == 3)
        upstream.die(run)
        upstream.server.start(obliging=last)
    state = run.finished(END_S)
    assert (state.state, state.text, state.error) == ("complete", "".join(WORDS), None)
    _, end = entries(entity=run.answer_id)
    assert (end["action"], end["content"]["starts"]) == ("answer.complete", 3)


def test_in_all_a_question_is_started_three_times(
    ask: Callable[[str], AnswerRun], upstream: Upstream, entries: Entries
) -> None:
    """An engine that keeps dying is not asked for ever; then the person is told."""
    run = ask("line")
    for _ in range(3):
        assert eventually(lambda: run.snapshot().position == 3)
        upstream.die(run)
        upstream.server.start()
    state = run.finished(END_S)
    assert isinstance(state.error, EngineUnavailableError)
    _, end = entries(entity=run.answer_id)
    assert (end["action"], end["content"]["starts"]) == ("answer.fail", 3)


def test_what_the_engine_had_begun_with_is_asked_once_more_only(
    ask: Callable[[str], AnswerRun], upstream: Upstream, entries: Entries
) -> None:
    """It may be what kills the engine: after the second death the person is told."""
    run = ask("read")
    for _ in range(2):
        assert eventually(lambda: reading(run))
        upstream.die(run)
        upstream.server.start()
    state = run.finished(END_S)
    assert isinstance(state.error, EngineUnavailableError)
    _, end = entries(entity=run.answer_id)
    assert (end["action"], end["content"]["starts"]) == ("answer.fail", 2)


def test_nothing_is_asked_again_once_a_word_was_shown(
    ask: Callable[[str], AnswerRun], upstream: Upstream, entries: Entries
) -> None:
    """What was shown stays, the answer ends as failed, and no number of starts is told."""
    run = ask("hold")
    assert eventually(lambda: run.snapshot().text == WORDS[0])
    upstream.server.kill()
    state = run.finished(END_S)
    assert isinstance(state.error, EngineUnavailableError)
    assert state.text == WORDS[0]
    _, end = entries(entity=run.answer_id)
    assert end["action"] == "answer.fail"
    assert "starts" not in end["content"]


def test_stop_ends_an_answer_that_waits_for_a_dead_engine(
    ask: Callable[[str], AnswerRun], upstream: Upstream, entries: Entries
) -> None:
    """Nobody waits for an engine longer than they like."""
    run = ask("line")
    assert eventually(lambda: run.snapshot().position == 3)
    upstream.die(run)
    run.stop("person")
    assert run.finished(END_S).state == "stopped"
    assert entries(entity=run.answer_id)[-1]["action"] == "answer.stop"


class Withdrawing:
    """The real library, which takes its models out of use when it is told to."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.withdrawn = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def models(self) -> list[ModelInfo]:
        models = self._library.models()
        if not self.withdrawn:
            return models
        return [replace(model, state=State.QUARANTINED) for model in models]


@pytest.mark.parametrize("erased", [True, False])
def test_what_was_taken_back_meanwhile_is_not_asked_again(
    appliance: Appliance, upstream: Upstream, clinician: Actor, entries: Entries, erased: bool
) -> None:
    """An erased conversation, or a model out of use: the engine that came back sees nothing."""
    engine = Watched(upstream.engine, lambda: None)
    library = Withdrawing(appliance.library)
    parts = replace(appliance, engine=engine, library=library)  # type: ignore[arg-type]
    verbs = operations_for(parts)
    run = verbs.asking.ask(clinician, Question.of("line"))
    assert eventually(lambda: run.snapshot().position == 3)
    upstream.die(run)
    if erased:
        wanted = Wanted(CONVERSATION, run.conversation_id)
        verbs.content.erase(console_actor(), wanted, "a request")
    library.withdrawn = not erased
    upstream.server.start(obliging=True)
    state = run.finished(END_S)
    assert (state.state, state.text) == ("failed", "")
    assert len(engine.seen) == 1
    assert eventually(lambda: verbs.asking.under_way == 0)
    verbs.asking.reconcile()
    actions = [entry["action"] for entry in entries(entity=run.answer_id)]
    assert actions == ["answer.request", "answer.fail"]


# --- what is asked, and what comes back, besides text


CALL = ToolCall("call_1", "dose", '{"drug":"x"}')
LIKELY = TokenLogprob("A", -0.1, b"A")


class Scripted(Watched):
    """The real engine for all but generation, which says what a model with tools says."""

    def __init__(self, engine: Any) -> None:
        super().__init__(engine, lambda: None)
        self.asked: list[Generation] = []

    def generate(self, request: Generation) -> Generator[Progress, None, None]:
        self.asked.append(request)
        yield Delta("A", (LIKELY,))
        yield Delta("", (), (CALL,))
        yield Finished("tool_calls", 3, 2)


@pytest.fixture
def scripted(appliance: Appliance) -> Scripted:
    return Scripted(appliance.engine)


def test_calls_of_tools_are_shown_sealed_and_counted(
    appliance: Appliance, scripted: Scripted, clinician: Actor
) -> None:
    """The stored answer is JSON of text and calls; the reason says so."""
    verbs = operations_for(replace(appliance, engine=scripted))
    offered = Tools((Tool("dose", "how much", "{}"),), "required")
    question = Question((Message("user", "how much?"),), tools=offered, origin="api")
    run = verbs.asking.ask(clinician, question)
    state = run.finished(END_S)
    assert (state.text, state.tool_calls, state.logprobs) == ("A", (CALL,), (LIKELY,))
    assert state.finish_reason == "tool_calls"
    stored = json.loads(appliance.conversations.message(run.answer_id, clinician.user).text)
    assert stored == {"text": "A", "tool_calls": [vars(CALL)]}
    assert scripted.asked[0].tools == offered


def test_every_wish_reaches_the_engine_and_the_person_does_not(
    appliance: Appliance, scripted: Scripted, clinician: Actor
) -> None:
    """What the caller chose goes through; of who asks, only an opaque word."""
    verbs = operations_for(replace(appliance, engine=scripted))
    wish = SamplingWish(
        max_tokens=5, temperature=0.7, top_p=0.9, seed=3, stop=("x",), top_k=4, min_p=0.1,
        repeat_penalty=1.1, frequency_penalty=0.2, presence_penalty=0.3, logit_bias=((7, 1.0),),
        logprobs=2, schema="{}",
    )  # fmt: skip
    verbs.asking.ask(clinician, Question.of("hello", sampling=wish)).finished(END_S)
    (asked,) = scripted.asked
    assert vars(asked.sampling) == vars(wish)
    assert asked.person == opaque(clinician.user)
    assert clinician.user not in asked.person
    assert len(asked.person) == 16


def test_where_the_caller_chose_nothing_the_site_does(
    appliance: Appliance, scripted: Scripted, clinician: Actor
) -> None:
    """Length and temperature come from the settings, the rest is left to the engine."""
    verbs = operations_for(replace(appliance, engine=scripted))
    verbs.asking.ask(clinician, Question.of("hello")).finished(END_S)
    sampling, settings = scripted.asked[0].sampling, appliance.config.engine
    assert sampling.max_tokens == settings.max_answer_tokens
    assert sampling.temperature == settings.temperature_percent / 100
    assert (sampling.top_k, sampling.min_p, sampling.logprobs, sampling.schema) == (
        0,
        None,
        None,
        None,
    )


def test_a_raw_prompt_is_sent_as_it_stands(
    appliance: Appliance, scripted: Scripted, clinician: Actor
) -> None:
    """No system prompt, no turns, no history."""
    verbs = operations_for(replace(appliance, engine=scripted))
    question = Question((), raw="Once upon a", origin="api")
    verbs.asking.ask(clinician, question).finished(END_S)
    (asked,) = scripted.asked
    assert (asked.prompt, asked.messages) == ("Once upon a", ())
