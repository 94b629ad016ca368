"""Promise 1: no record, no answer; what may be asked, and what each answer leaves behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appliance.assembly import Appliance
from appliance.audit.query import Query
from appliance.errors import (
    ApplianceError,
    BadInputError,
    ForbiddenError,
    NotFoundError,
    RecordUnavailableError,
)
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.inference.engine import Message
from appliance.operations import Operations, operations_for
from appliance.operations.questions import Question
from tests.unit.operations.asked import (
    END_S,
    ENDLESS,
    SHORT,
    Entries,
    Paused,
    Watched,
    unanswered,
)
from tests.unit.operations.conftest import actor


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
    conversation, _ = unanswered(appliance, clinician)
    appliance.ledger.close()
    question = Question.of("hello", conversation_id=conversation, sampling=SHORT)
    with pytest.raises(RecordUnavailableError):
        verbs.asking.ask(clinician, question)
    assert watched.seen == []
    states = [
        message.state for message in appliance.conversations.messages(conversation, clinician.user)
    ]
    assert states[2:] == ["complete", "failed"]


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
    appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """A stopped answer is marked, kept as far as it came, and recorded as stopped."""
    paused = Paused(appliance.engine)
    verbs = operations_for(replace(appliance, engine=paused))  # type: ignore[arg-type]
    run = verbs.asking.ask(clinician, Question.of("hello", sampling=ENDLESS))
    state = run.snapshot()
    while not state.text and not state.ended:
        state = run.wait(state.version, 1)
    verbs.asking.stop(clinician, run.answer_id)
    paused.go_on.set()
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
    appliance: Appliance, clinician: Actor
) -> None:
    """For others the answer does not exist."""
    paused = Paused(appliance.engine)
    operations = operations_for(replace(appliance, engine=paused))  # type: ignore[arg-type]
    run = operations.asking.ask(clinician, Question.of("hello", sampling=ENDLESS))
    other = actor(Role.CLINICIAN, "other")
    assert operations.asking.run_of(other, run.answer_id) is None
    with pytest.raises(NotFoundError):
        operations.asking.stop(other, run.answer_id)
    operations.asking.stop(clinician, run.answer_id)
    paused.go_on.set()
    assert run.finished(END_S).state == "stopped"


def test_a_conversation_keeps_its_earlier_turns(
    operations: Operations, appliance: Appliance, clinician: Actor
) -> None:
    """The second question of a conversation is sent with the first and its answer."""
    first = operations.asking.ask(clinician, Question.of("hello", sampling=SHORT))
    first.finished(END_S)
    digest = appliance.library.by_name("tiny").digest
    alone = appliance.engine.count_tokens(digest, (Message("user", "again"),))
    again = Question.of("again", conversation_id=first.conversation_id, sampling=SHORT)
    state = operations.asking.ask(clinician, again).finished(END_S)
    assert state.prompt_tokens is not None
    assert state.prompt_tokens > alone + 10
