"""Embeddings go the way of every question: policy, seal, intent, engine, outcome."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.entry import Event
from appliance.audit.ledger import Receipt
from appliance.cli.actor import console_actor
from appliance.cli.processes import log_plainly
from appliance.conversations.retention import CONVERSATION
from appliance.errors import (
    ApplianceError,
    BadInputError,
    BusyError,
    EngineDownError,
    EngineUnavailableError,
    ForbiddenError,
    NotFoundError,
    RecordUnavailableError,
)
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.inference.engine import Embeddings, EngineStatus
from appliance.operations import Operations, operations_for
from appliance.operations.admission import MAX_UNDER_WAY_PER_PERSON
from appliance.operations.embedding import MAX_TEXTS, EmbeddingWish
from appliance.operations.scopes import Wanted
from tests.unit.operations.conftest import actor

Entries = Callable[..., list[dict[str, Any]]]
WISH = EmbeddingWish(("the patient rests", "the patient eats"))


class Watched:
    """An engine that runs something when it is asked for vectors, and may fail."""

    def __init__(self, engine: Any, meanwhile: Callable[[], None]) -> None:
        self._engine = engine
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def embed(self, digest: str, texts: tuple[str, ...], person: str = "") -> Embeddings:
        self._meanwhile()
        return Embeddings(((1.0, 0.0),) * len(texts), 7)


def watched(appliance: Appliance, meanwhile: Callable[[], None]) -> Operations:
    engine = Watched(appliance.engine, meanwhile)
    return operations_for(replace(appliance, engine=engine))  # type: ignore[arg-type]


def fail() -> None:
    raise EngineUnavailableError("down")


def test_the_intent_is_recorded_before_the_engine_sees_a_text(
    appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """No record, no vectors: the entry is there when the engine is asked."""
    seen: list[str] = []
    verbs = watched(
        appliance,
        lambda: seen.extend(entry["action"] for entry in entries(user=clinician.user)),
    )
    made = verbs.embedding.embed(clinician, WISH)
    assert seen == ["embedding.request"]
    assert len(made.vectors) == 2
    actions = [entry["action"] for entry in entries(user=clinician.user)]
    assert sorted(actions) == ["embedding.complete", "embedding.request"]


def test_an_engine_that_fails_leaves_a_failure_in_the_record(
    appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """The error reaches the caller, its code the record, and the place is given back."""
    verbs = watched(appliance, fail)
    for _ in range(MAX_UNDER_WAY_PER_PERSON + 1):
        with pytest.raises(EngineUnavailableError):
            verbs.embedding.embed(clinician, WISH)
    end = entries(user=clinician.user, action="embedding.fail")[0]
    assert end["outcome"] == Outcome.FAILURE
    assert end["content"]["reason"] == "engine_unavailable"


def test_a_fault_in_the_code_is_recorded_too(
    appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """Whatever happens, an intent gets its outcome, and no text gets into the message."""

    def break_down() -> None:
        raise RuntimeError("the patient rests")

    with pytest.raises(Exception, match="fault in the appliance") as caught:
        watched(appliance, break_down).embedding.embed(clinician, WISH)
    assert "patient" not in str(caught.value)
    assert entries(user=clinician.user, action="embedding.fail")


def test_a_log_that_cannot_be_written_stops_nobodys_work(
    appliance: Appliance, clinician: Actor, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome is recorded all the same, and the caller is told of the fault."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    log_plainly()

    def break_down() -> None:
        raise RuntimeError("broken")

    with pytest.raises(ApplianceError, match="fault in the appliance"):
        watched(appliance, break_down).embedding.embed(clinician, WISH)
    assert entries(user=clinician.user, action="embedding.fail")


def test_without_a_record_the_engine_is_not_asked(appliance: Appliance, clinician: Actor) -> None:
    """An intent that cannot be written ends the request."""

    class Full:
        def __getattr__(self, name: str) -> Any:
            return getattr(appliance.ledger, name)

        def append(self, event: Event) -> Receipt:
            raise RecordUnavailableError("full")

    asked: list[str] = []
    engine = Watched(appliance.engine, lambda: asked.append("asked"))
    parts = replace(appliance, engine=engine, ledger=Full())  # type: ignore[arg-type]
    with pytest.raises(RecordUnavailableError):
        operations_for(parts).embedding.embed(clinician, WISH)
    assert asked == []


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (EmbeddingWish(()), BadInputError),
        (EmbeddingWish(("a", " ")), BadInputError),
        (EmbeddingWish(("a",) * (MAX_TEXTS + 1)), BadInputError),
        (EmbeddingWish(("a",), model="no-such-model"), NotFoundError),
        (EmbeddingWish(("a",), purpose="curiosity"), BadInputError),
    ],
)
def test_what_may_not_be_embedded_is_refused_and_recorded(
    operations: Operations,
    clinician: Actor,
    entries: Entries,
    wish: EmbeddingWish,
    error: type[Exception],
) -> None:
    """A refusal leaves an entry and no content."""
    with pytest.raises(error):
        operations.embedding.embed(clinician, wish)
    assert [e["action"] for e in entries(user=clinician.user)] == ["embedding.refuse"]
    assert operations.appliance.conversations.list(clinician.user) == []


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.AUDITOR, Role.APPROVER])
def test_who_may_not_ask_may_not_embed(operations: Operations, role: Role) -> None:
    """The same permission and the same policy as for a question."""
    with pytest.raises(ForbiddenError):
        operations.embedding.embed(actor(role, "somebody"), WISH)


def test_embeddings_and_answers_are_counted_together(
    appliance: Appliance, clinician: Actor
) -> None:
    """One person's requests at once have one limit, whatever they are for."""
    deep: list[int] = []

    def again() -> None:
        deep.append(1)
        verbs.embedding.embed(clinician, WISH)

    verbs = watched(appliance, again)
    with pytest.raises(BusyError):
        verbs.embedding.embed(clinician, WISH)
    assert len(deep) == MAX_UNDER_WAY_PER_PERSON
    assert verbs.asking.under_way == 0


def test_one_under_way_is_not_closed_as_interrupted(
    appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """The caretaker's round leaves alone what a thread of this process works on."""
    closed: list[int] = []
    verbs = watched(appliance, lambda: closed.append(verbs.asking.reconcile()))
    verbs.embedding.embed(clinician, WISH)
    assert closed == [0]
    assert not entries(user=clinician.user, action="embedding.fail")


def test_texts_erased_while_the_engine_loads_are_not_embedded(
    appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """They waited for an engine; when it is ready, there is nothing left to ask it."""
    asked: list[str] = []

    class Loading(Watched):
        def status(self, digest: str | None = None) -> EngineStatus:
            status: EngineStatus = self._engine.status(digest)
            for intent in entries(user=clinician.user, action="embedding.request"):
                message = appliance.conversations.message(intent["entity"], clinician.user)
                wanted = Wanted(CONVERSATION, message.conversation_id)
                with contextlib.suppress(NotFoundError):
                    verbs.content.erase(console_actor(), wanted, "a request")
            return status

    engine = Loading(appliance.engine, lambda: asked.append("asked"))
    verbs = operations_for(replace(appliance, engine=engine))  # type: ignore[arg-type]
    with pytest.raises(ApplianceError):
        verbs.embedding.embed(clinician, WISH)
    assert asked == []
    verbs.asking.reconcile()
    (intent,) = entries(user=clinician.user, action="embedding.request")
    actions = [entry["action"] for entry in entries(entity=intent["entity"])]
    assert actions == ["embedding.request", "embedding.fail"]


@pytest.mark.parametrize(("deaths", "ends"), [(2, "embedding.complete"), (3, "embedding.fail")])
def test_an_engine_that_took_nothing_is_asked_again_and_recorded_once(
    appliance: Appliance, clinician: Actor, entries: Entries, deaths: int, ends: str
) -> None:
    """It was being started again: three times in all, and one outcome."""
    left = [EngineDownError("starting")] * deaths

    def refuse() -> None:
        if left:
            raise left.pop()

    verbs = watched(appliance, refuse)
    with contextlib.suppress(EngineDownError):
        verbs.embedding.embed(clinician, WISH)
    assert left == []
    actions = [entry["action"] for entry in entries(user=clinician.user)]
    assert actions == ["embedding.request", ends]


@pytest.mark.parametrize("fault", [None, fail])
def test_the_row_says_which_entries_hold_intent_and_outcome(
    appliance: Appliance,
    clinician: Actor,
    entries: Entries,
    fault: Callable[[], None] | None,
) -> None:
    """Whatever came of it, and the question is written together with its conversation."""
    verbs = watched(appliance, fault or (lambda: None))
    with contextlib.suppress(EngineUnavailableError):
        verbs.embedding.embed(clinician, WISH)
    first, second = sorted(entry["seq"] for entry in entries(user=clinician.user))
    (made,) = appliance.conversations.list(clinician.user)
    _, answer = appliance.conversations.messages(made.id, clinician.user)
    assert (answer.intent_seq, answer.outcome_seq) == (first, second)


def test_what_is_sealed_of_vectors_proves_them(appliance: Appliance, clinician: Actor) -> None:
    """Number, length and the digest of their little-endian floats; never the numbers."""
    made = watched(appliance, lambda: None).embedding.embed(clinician, WISH)
    kept = json.loads(appliance.conversations.message(made.answer_id, clinician.user).text)
    assert kept == {
        "vectors": 2,
        "dimensions": 2,
        "sha256": "5c0f50c6e283d64f560a7925aaed8b2540ff26747b986dbb10d97c7d4d19f5ee",
    }
