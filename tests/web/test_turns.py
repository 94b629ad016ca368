"""What a page says of an answer, whatever became of it."""

from __future__ import annotations

import pytest

from appliance.conversations.values import MessageInfo, ModelUsed
from appliance.errors import BadInputError
from appliance.operations.answer_run import AnswerRun, AnswerState
from appliance.policy.decision import ModelFacts
from appliance.web import turns

DEMO = frozenset({"d" * 64})


def stored(**changes: object) -> MessageInfo:
    """Return an answer as the store gives it."""
    values: dict[str, object] = {
        "id": "msg_1", "conversation_id": "cnv_1", "role": "assistant", "text": "**yes**",
        "state": "complete", "error_code": None, "model": ModelUsed("demo", "1", "d" * 64),
        "prompt_tokens": 1, "answer_tokens": 1, "latency_ms": 5, "created": 1.0, "finished": 2.0,
        "intent_seq": 7, "outcome_seq": 8, "finish_reason": "stop", "dropped_turns": 0,
    }  # fmt: skip
    return MessageInfo(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (AnswerState(state="queued", position=0), "Waiting: next in line"),
        (AnswerState(state="queued", position=2), "Waiting: third in line"),
        (AnswerState(state="queued", position=3), "Waiting: 4th in line"),
        (AnswerState(state="queued", position=11), "Waiting: 12th in line"),
        (AnswerState(state="queued", position=20), "Waiting: 21st in line"),
        (AnswerState(state="queued", position=110), "Waiting: 111th in line"),
        (AnswerState(state="queued"), "Reading the question"),
        (AnswerState(state="loading"), "Loading the model"),
        (AnswerState(state="answering", text="a"), "Writing"),
    ],
)
def test_waiting_is_never_silent(state: AnswerState, said: str) -> None:
    """Whatever an answer waits for is said in words."""
    assert turns.label(state) == said


def test_a_finished_answer_names_model_and_record() -> None:
    """The copied text ends with the notice, the model, DEMO and the outcome's number."""
    view = turns.of_message(stored(), DEMO)
    assert view.copied == (
        "**yes**\n\n[AI-generated, check before use · demo 1 (demo model) · record 8]"
    )
    assert view.html == "<p><strong>yes</strong></p>\n"


def test_record_number_zero_is_a_number() -> None:
    """The first entry of a record is an entry: 0 is shown, and not the intent in its place."""
    assert turns.of_message(stored(intent_seq=7, outcome_seq=0), DEMO).record == 0
    facts = ModelFacts("demo", "1", "d" * 64, "active", frozenset(), True)
    run = AnswerRun(f"msg_{0:024}", f"cnv_{0:024}", "usr", facts, 7)
    assert turns.of_run(run, AnswerState(state="complete", record_seq=0), None).record == 0
    assert turns.of_run(run, AnswerState(), None).record == 7


def test_an_answer_of_another_model_is_no_demo() -> None:
    """DEMO hangs on the digest of the weights, not on a name."""
    assert not turns.of_message(stored(), frozenset()).demo


@pytest.mark.parametrize("code", [*turns.SENTENCES, "never heard of", None])
def test_a_failed_answer_says_what_happened_and_what_to_do(code: str | None) -> None:
    """Each code becomes a sentence and a hint; an unknown one does too."""
    view = turns.of_message(stored(state="failed", error_code=code, text=""), DEMO)
    assert view.state == "failed"
    assert view.error
    assert view.hint


def test_an_answer_cut_off_by_a_crash_says_so() -> None:
    """The person reads that the appliance was restarted, and to ask again."""
    view = turns.of_message(stored(state="failed", error_code="interrupted"), DEMO)
    assert "restarted" in view.error
    assert "ask again" in view.hint


def test_turns_pair_each_question_with_its_answer() -> None:
    """Questions and answers are shown together, in order; a question may have no answer."""
    rows = [
        stored(id="a", role="user", text="one"),
        stored(id="b"),
        stored(id="c", role="user", text="two"),
    ]
    shown = turns.of_messages(rows, DEMO)
    assert [turn.question for turn in shown] == ["one", "two"]
    assert shown[0].answer is not None
    assert shown[1].answer is None


def test_a_hint_belongs_to_its_own_error() -> None:
    """The hint shown for a code is the one that the error class gives."""
    view = turns.of_message(stored(state="failed", error_code="bad_input"), DEMO)
    assert view.hint == BadInputError.hint


def test_an_answer_cut_at_its_limit_says_so_after_a_reload() -> None:
    """The kept answer carries the same note as the live one."""
    shown = turns.of_message(stored(finish_reason="length", dropped_turns=2), DEMO)
    assert "cut off here" in shown.note
    assert "no longer fit" in shown.note
