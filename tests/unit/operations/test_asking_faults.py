"""Promise 1 when things go wrong: each intent still has exactly one outcome."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.entry import Event
from appliance.audit.ledger import Receipt
from appliance.cli.processes import log_plainly
from appliance.conversations.store import UnfinishedAnswer
from appliance.errors import (
    BusyError,
    DiskFullError,
    UnavailableError,
)
from appliance.identity.permissions import Actor
from appliance.inference.engine import Generation, Progress
from appliance.operations import Operations, asking, operations_for
from appliance.operations.answer_run import AnswerRun
from appliance.operations.caretaker import Caretaker
from appliance.operations.outcomes import close_interrupted
from appliance.operations.questions import Question
from appliance.operations.recording import Recorder
from tests.unit.operations.asked import (
    END_S,
    ENDLESS,
    SHORT,
    Entries,
    Watched,
    eventually,
    held_back,
    unanswered,
)


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
    """The caretaker closes it with the next round, and its outcome names the intent."""

    class Stubborn:
        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        def finish(self, answer_id: str, **how: Any) -> None:
            raise DiskFullError("no room")

    parts = replace(appliance, conversations=Stubborn(appliance.conversations))  # type: ignore[arg-type]
    run = operations_for(parts).asking.ask(clinician, Question.of("hello", sampling=SHORT))
    assert run.finished(END_S).error is not None
    assert [entry["action"] for entry in entries(entity=run.answer_id)] == ["answer.request"]
    Caretaker(operations, every_s=0).look_after()
    asked, closed = entries(entity=run.answer_id)
    assert (asked["action"], closed["action"]) == ("answer.request", "answer.fail")
    assert closed["content"]["request"] == asked["seq"]
    kept = appliance.conversations.message(run.answer_id, clinician.user)
    assert (kept.intent_seq, kept.outcome_seq) == (asked["seq"], closed["seq"])


def test_a_slow_record_does_not_make_a_question_look_interrupted(
    appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """The caretaker's round leaves alone what waits for its intent to be written."""
    closed: list[int] = []

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(appliance.ledger, name)

        def append(self, event: Event) -> Receipt:
            if event.action == "answer.request":
                closed.append(verbs.asking.reconcile())
            return appliance.ledger.append(event)

    verbs = operations_for(replace(appliance, ledger=Slow()))  # type: ignore[arg-type]
    run = verbs.asking.ask(clinician, Question.of("hello", sampling=SHORT))
    assert run.finished(END_S).state == "complete"
    assert closed == [0]
    actions = [entry["action"] for entry in entries(entity=run.answer_id)]
    assert actions == ["answer.request", "answer.complete"]


def test_an_answer_whose_key_is_gone_does_not_keep_the_gateway_down(
    operations: Operations, appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """Its outcome is recorded without a commitment, and the others are closed too."""
    turns = []
    for _ in range(2):
        turns.append(unanswered(appliance, clinician)[1])
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
    _, turn = unanswered(appliance, clinician)
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
        UnfinishedAnswer(run.answer_id, run.conversation_id, clinician.user,
                         run.model.name, run.model.version, run.model.digest, "chat", 0.0),
    )  # fmt: skip
    assert not close_interrupted(appliance, answer)
    assert len(entries(entity=run.answer_id)) == 2


def test_a_question_that_never_reached_the_record_needs_no_outcome(
    operations: Operations, appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """It was never asked, so the record stays silent and the page says failed."""
    _, turn = unanswered(appliance, clinician)
    assert operations.asking.reconcile() == 0
    assert entries(entity=turn.answer_id) == []
    assert appliance.conversations.message(turn.answer_id, clinician.user).state == "failed"
    assert turn.answer_id not in {row.answer_id for row in appliance.conversations.unfinished()}


def test_an_answer_that_ended_leaves_the_memory_without_another_question(
    operations: Operations, clinician: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caretaker's round lets go of what nobody reads any more."""
    run = operations.asking.ask(clinician, Question.of("hello", sampling=SHORT))
    run.finished(END_S)
    assert eventually(lambda: operations.asking.under_way == 0)
    operations.asking.reconcile()
    assert operations.asking.run_of(clinician, run.answer_id) is run
    monkeypatch.setattr(asking, "KEPT_AFTER_END_S", 0.0)
    assert eventually(lambda: forgotten(operations, clinician, run))


def forgotten(operations: Operations, clinician: Actor, run: AnswerRun) -> bool:
    operations.asking.reconcile()
    return operations.asking.run_of(clinician, run.answer_id) is None
