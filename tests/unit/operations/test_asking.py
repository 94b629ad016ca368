"""Promise 1: no record, no answer; each intent has one outcome, whatever happens."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.query import Query
from appliance.cli.processes import log_plainly
from appliance.conversations.store import UnfinishedAnswer
from appliance.errors import (
    ApplianceError,
    BadInputError,
    BusyError,
    DiskFullError,
    ForbiddenError,
    NotFoundError,
    RecordUnavailableError,
    UnavailableError,
)
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.inference.engine import Engine, Generation, Message, Progress, Sampling
from appliance.operations import Operations, operations_for
from appliance.operations.answer_run import AnswerRun
from appliance.operations.caretaker import Caretaker
from appliance.operations.outcomes import close_interrupted
from appliance.operations.questions import Question, SamplingWish
from appliance.operations.recording import Recorder
from tests.unit.operations.conftest import actor


@contextlib.contextmanager
def held_back(engine: Engine) -> Iterator[None]:
    """Keep the real engine busy with an answer that nobody reads, so that others wait."""
    digest = engine.status().digest
    assert digest is not None
    request = Generation(digest, (Message("user", "x"),), Sampling(max_tokens=400, temperature=1.0))
    holders = [engine.generate(request) for _ in range(40)]
    try:
        for holder in holders:
            next(holder)
        yield
    finally:
        for holder in holders:
            holder.close()


def eventually(check: Callable[[], bool]) -> bool:
    """Tell whether `check` becomes true within ten seconds."""
    deadline = time.monotonic() + 10
    while not check() and time.monotonic() < deadline:
        time.sleep(0.02)
    return check()


Entries = Callable[..., list[dict[str, Any]]]
SHORT = SamplingWish(max_tokens=8, temperature=0.0)
ENDLESS = SamplingWish(max_tokens=400, temperature=1.0)
END_S = 60


class Watched:
    """The real engine, with a look at what is in the record when it is asked."""

    def __init__(self, engine: Engine, look: Callable[[], Any]) -> None:
        self._engine, self._look = engine, look
        self.seen: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def generate(self, request: Generation) -> Generator[Progress, None, None]:
        self.seen.append(self._look())
        return self._engine.generate(request)


def test_the_intent_is_in_the_record_before_the_engine_is_asked(
    appliance: Appliance, clinician: Actor
) -> None:
    """When the engine gets the question, the newest entry is that question's intent."""
    watched = Watched(appliance.engine, lambda: appliance.ledger.search(Query(limit=1)).entries[0])
    verbs = operations_for(replace(appliance, engine=watched))  # type: ignore[arg-type]
    run = verbs.asking.ask(clinician, Question.of("hello", sampling=SHORT))
    assert run.finished(END_S).state == "complete"
    assert [(entry["action"], entry["entity"]) for entry in watched.seen] == [
        ("answer.request", run.answer_id)
    ]


def test_no_record_no_answer(appliance: Appliance, clinician: Actor) -> None:
    """When the record cannot be written, the engine is not asked and the page says failed."""
    watched = Watched(appliance.engine, lambda: None)
    verbs = operations_for(replace(appliance, engine=watched))  # type: ignore[arg-type]
    conversation = appliance.conversations.create(clinician.user, "t", "chat")
    appliance.ledger.close()
    question = Question.of("hello", conversation_id=conversation.id, sampling=SHORT)
    with pytest.raises(RecordUnavailableError):
        verbs.asking.ask(clinician, question)
    assert watched.seen == []
    states = [
        message.state
        for message in appliance.conversations.messages(conversation.id, clinician.user)
    ]
    assert states == ["complete", "failed"]


def test_a_complete_answer_leaves_commitments_and_token_counts(
    operations: Operations, appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """The outcome names request, model digest, tokens and the sealed answer's digest."""
    run = operations.asking.ask(clinician, Question.of("hello", sampling=SHORT))
    state = run.finished(END_S)
    asked, answered = entries(entity=run.answer_id)
    assert (asked["action"], answered["action"]) == ("answer.request", "answer.complete")
    assert answered["content"]["request"] == asked["seq"] == run.intent_seq
    assert answered["seq"] == state.record_seq
    assert answered["model"]["digest"] == run.model.digest
    assert answered["tokens"] == {"prompt": state.prompt_tokens, "answer": state.answer_tokens}
    assert len(answered["content"]["answer"]["commitment"]) == 64
    stored = appliance.conversations.message(run.answer_id, clinician.user)
    assert (stored.text, stored.state) == (state.text, "complete")


def test_stop_keeps_the_text_and_is_recorded(
    operations: Operations, appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """A stopped answer is marked, kept as far as it came, and recorded as stopped."""
    run = operations.asking.ask(clinician, Question.of("hello", sampling=ENDLESS))
    state = run.snapshot()
    while not state.text and not state.ended:
        state = run.wait(state.version, 1)
    operations.asking.stop(clinician, run.answer_id)
    state = run.finished(END_S)
    assert state.state == "stopped"
    assert appliance.conversations.message(run.answer_id, clinician.user).text == state.text != ""
    assert [entry["action"] for entry in entries(entity=run.answer_id)] == [
        "answer.request",
        "answer.stop",
    ]


def test_a_prompt_over_the_context_fails_with_a_clear_error(
    operations: Operations, clinician: Actor, entries: Entries
) -> None:
    """The engine refuses before decoding, and the record gets the failure by code."""
    run = operations.asking.ask(clinician, Question.of("word " * 5000, sampling=SHORT))
    state = run.finished(END_S)
    assert state.state == "failed"
    assert state.error is not None
    assert state.error.code == "context_length_exceeded"
    assert [entry["outcome"] for entry in entries(entity=run.answer_id)] == ["intent", "failure"]


@pytest.mark.parametrize(
    ("question", "error"),
    [
        (Question.of("   "), BadInputError),
        (Question(messages=()), BadInputError),
        (Question(messages=(Message("assistant", "x"),)), BadInputError),
        (Question.of("x", model="no-such-model"), NotFoundError),
        (Question.of("x", purpose="curiosity"), BadInputError),
        (Question.of("x", conversation_id="cnv_000000000000000000000000"), NotFoundError),
    ],
)
def test_what_cannot_be_asked_is_refused_and_recorded(
    operations: Operations,
    clinician: Actor,
    entries: Entries,
    question: Question,
    error: type[ApplianceError],
) -> None:
    """Each refusal raises its error and leaves one answer.refuse by this person."""
    with pytest.raises(error):
        operations.asking.ask(clinician, question)
    refused = entries(user=clinician.user, action="answer.refuse")
    assert [entry["outcome"] for entry in refused] == ["refused"]


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.APPROVER, Role.ADMINISTRATOR, Role.CONSOLE])
def test_roles_without_the_permission_cannot_ask(operations: Operations, role: Role) -> None:
    """Only clinicians and stewards ask; the others see no model offered either."""
    with pytest.raises(ForbiddenError):
        operations.asking.ask(actor(role, "somebody"), Question.of("hello"))
    assert operations.asking.models_for(actor(role, "somebody")) == []


def test_a_model_for_stewards_is_neither_listed_for_nor_run_by_a_clinician(
    operations: Operations, appliance: Appliance, clinician: Actor
) -> None:
    """The list and the question ask the same policy function."""
    model = appliance.library.by_name("tiny")
    listed = operations.asking.models_for(clinician)
    assert [facts.name for facts in listed] == [model.name]
    only = replace(appliance, library=_Restricted(appliance.library))  # type: ignore[arg-type]
    verbs = operations_for(only)
    assert verbs.asking.models_for(clinician) == []
    with pytest.raises(ForbiddenError):
        verbs.asking.ask(clinician, Question.of("hello", model="tiny"))


class _Restricted:
    """The real library as it is after an approver gave the model to stewards alone."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def models(self) -> list[Any]:
        return [replace(m, roles=frozenset({"steward"})) for m in self._library.models()]


def test_another_persons_answer_can_be_neither_watched_nor_stopped(
    operations: Operations, clinician: Actor
) -> None:
    """For others the answer does not exist."""
    run = operations.asking.ask(clinician, Question.of("hello", sampling=ENDLESS))
    other = actor(Role.CLINICIAN, "other")
    assert operations.asking.run_of(other, run.answer_id) is None
    with pytest.raises(NotFoundError):
        operations.asking.stop(other, run.answer_id)
    operations.asking.stop(clinician, run.answer_id)
    run.finished(END_S)


def test_one_person_cannot_fill_the_queue(operations: Operations, clinician: Actor) -> None:
    """Of twelve questions sent at once four are admitted, and there is room again afterwards."""
    runs: list[AnswerRun] = []
    refused: list[BusyError] = []

    def ask() -> None:
        try:
            runs.append(operations.asking.ask(clinician, Question.of("hello", sampling=ENDLESS)))
        except BusyError as error:
            refused.append(error)

    with held_back(operations.appliance.engine):
        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(runs), len(refused)) == (4, 8)
        for run in runs:
            run.stop("person")
    assert {run.finished(END_S).state for run in runs} == {"stopped"}
    assert eventually(lambda: operations.asking.under_way == 0)
    operations.asking.ask(clinician, Question.of("hello", sampling=SHORT)).finished(END_S)


def test_after_shutdown_nothing_is_admitted(
    operations: Operations, clinician: Actor, entries: Entries
) -> None:
    """Running answers end as stopped, and a late question is refused and recorded."""
    with held_back(operations.appliance.engine):
        run = operations.asking.ask(clinician, Question.of("hello", sampling=ENDLESS))
        operations.asking.shutdown()
    assert run.snapshot().state == "stopped"
    with pytest.raises(UnavailableError):
        operations.asking.ask(clinician, Question.of("hello"))
    assert entries(user=clinician.user)[-1]["action"] == "answer.refuse"


def test_an_unexpected_fault_shows_no_text_anywhere(
    appliance: Appliance, clinician: Actor, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither the log nor the person's page holds what was asked or answered."""

    class Broken(Watched):
        def generate(self, request: Generation) -> Generator[Progress, None, None]:
            answer = "ANSWERMARK"
            raise RuntimeError(f"{answer} {request.messages[-1].content}")
            yield

    log_plainly()
    broken = Broken(appliance.engine, lambda: None)
    verbs = operations_for(replace(appliance, engine=broken))  # type: ignore[arg-type]
    state = verbs.asking.ask(clinician, Question.of("PROMPTMARK")).finished(END_S)
    written = "".join(capfd.readouterr())
    assert state.state == "failed"
    assert "RuntimeError" in written
    assert "MARK" not in written + str(state.error)


def test_an_intent_whose_row_could_not_be_updated_still_gets_its_outcome(
    operations: Operations, appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """The caretaker closes it with the next round."""

    class Stubborn:
        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        def set_intent(self, answer_id: str, seq: int) -> None:
            raise DiskFullError("no room")

    parts = replace(appliance, conversations=Stubborn(appliance.conversations))  # type: ignore[arg-type]
    with pytest.raises(DiskFullError):
        operations_for(parts).asking.ask(clinician, Question.of("hello", sampling=SHORT))
    Caretaker(operations, every_s=0).look_after()
    actions = [entry["action"] for entry in entries(user=clinician.user)]
    assert actions == ["answer.request"]
    (asked,) = entries(user=clinician.user)
    assert [entry["action"] for entry in entries(entity=asked["entity"])] == [
        "answer.request",
        "answer.fail",
    ]


def test_an_answer_whose_key_is_gone_does_not_keep_the_gateway_down(
    operations: Operations, appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """Its outcome is recorded without a commitment, and the others are closed too."""
    turns = []
    model = appliance.library.by_name("tiny")
    for _ in range(2):
        conversation = appliance.conversations.create(clinician.user, "t", "chat")
        turns.append(
            appliance.conversations.begin_turn(
                conversation.id, clinician.user, "x", model.name, model.version, model.digest
            )
        )
        Recorder(appliance.ledger).note(
            clinician, "answer.request", Outcome.INTENT, entity=turns[-1].answer_id
        )
    with sqlite3.connect(appliance.config.paths.keys_db) as keys:
        keys.execute(
            "DELETE FROM content_keys WHERE key_id = ?", (turns[0].sealed_question.key_id,)
        )
    keys.close()
    assert operations.asking.reconcile() == 2
    first, second = (entries(entity=turn.answer_id)[-1] for turn in turns)
    assert (first["action"], first["content"]["answer"]) == ("answer.fail", None)
    assert second["content"]["answer"]["commitment"]


def test_what_a_crash_left_open_is_closed_at_the_next_start(
    operations: Operations, appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """A pending answer becomes failed, once, and the record names the person."""
    conversation = appliance.conversations.create(clinician.user, "t", "chat")
    model = appliance.library.by_name("tiny")
    turn = appliance.conversations.begin_turn(
        conversation.id, clinician.user, "hello", model.name, model.version, model.digest
    )
    recorder = Recorder(appliance.ledger)
    recorder.note(clinician, "answer.request", Outcome.INTENT, entity=turn.answer_id)
    assert operations.asking.reconcile() == 1
    assert operations.asking.reconcile() == 0
    _, failed = entries(entity=turn.answer_id)
    assert (failed["action"], failed["outcome"]) == ("answer.fail", "failure")
    assert failed["content"]["person"] == clinician.user
    stored = appliance.conversations.message(turn.answer_id, clinician.user)
    assert (stored.state, stored.error_code) == ("failed", "interrupted")


def test_an_outcome_that_was_recorded_just_before_the_crash_is_not_repeated(
    operations: Operations, appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """The row learns of the outcome; the record gets no second one."""
    run = operations.asking.ask(clinician, Question.of("hello", sampling=SHORT))
    run.finished(END_S)
    (answer,) = (
        UnfinishedAnswer(run.answer_id, run.conversation_id, clinician.user, run.intent_seq,
                         run.model.name, run.model.version, run.model.digest, "chat", 0.0),
    )  # fmt: skip
    assert not close_interrupted(appliance, Recorder(appliance.ledger), answer)
    assert len(entries(entity=run.answer_id)) == 2


def test_a_question_that_never_reached_the_record_needs_no_outcome(
    operations: Operations, appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """It was never asked, so the record stays silent and the page says failed."""
    conversation = appliance.conversations.create(clinician.user, "t", "chat")
    model = appliance.library.by_name("tiny")
    turn = appliance.conversations.begin_turn(
        conversation.id, clinician.user, "hello", model.name, model.version, model.digest
    )
    assert operations.asking.reconcile() == 0
    assert entries(entity=turn.answer_id) == []
    assert appliance.conversations.message(turn.answer_id, clinician.user).state == "failed"
    assert turn.answer_id not in {row.answer_id for row in appliance.conversations.unfinished()}


def test_a_conversation_keeps_its_earlier_turns(
    operations: Operations, appliance: Appliance, clinician: Actor
) -> None:
    """The second question of a conversation is sent with the first and its answer."""
    first = operations.asking.ask(clinician, Question.of("hello", sampling=SHORT))
    first.finished(END_S)
    alone = appliance.engine.count_tokens((Message("user", "again"),))
    again = Question.of("again", conversation_id=first.conversation_id, sampling=SHORT)
    state = operations.asking.ask(clinician, again).finished(END_S)
    assert state.prompt_tokens is not None
    assert state.prompt_tokens > alone + 10
