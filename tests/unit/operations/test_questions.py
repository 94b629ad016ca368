"""What may be asked, and what is kept of it."""

from __future__ import annotations

import json

import pytest

from appliance.errors import BadInputError
from appliance.inference.engine import Message, Tool, ToolCall, Tools
from appliance.operations.questions import MAX_TITLE, Question, SamplingWish

LOOK = Tool("look", "Look something up.", '{"type":"object"}')
CALL = ToolCall("call_1", "look", '{"id":7}')
ASKED = Message("user", "what is seven?")
CALLED = Message("assistant", "", (CALL,))
RESULT = Message("tool", "a number", tool_call_id="call_1")


def test_one_message_is_kept_as_its_text() -> None:
    """What a person typed in a page is sealed as they typed it."""
    assert Question.of("hello").to_seal() == "hello"


def test_a_conversation_with_tools_is_kept_whole() -> None:
    """Turns, calls, results and the tools that were offered: nothing that was asked is lost."""
    question = Question(messages=(ASKED, CALLED, RESULT), tools=Tools((LOOK,), "required", "look"))
    question.check()
    kept = json.loads(question.to_seal())
    assert [turn["role"] for turn in kept["messages"]] == ["user", "assistant", "tool"]
    assert kept["messages"][1]["tool_calls"] == [vars(CALL)]
    assert kept["messages"][2]["tool_call_id"] == "call_1"
    assert kept["tools"] == [vars(LOOK)]
    assert kept["tool_choice"] == "look"


def test_a_schema_and_a_raw_text_are_kept() -> None:
    """One message with a schema is more than its text, and so is a text to be continued."""
    wished = Question.of("hello", sampling=SamplingWish(schema='{"type":"object"}'))
    assert json.loads(wished.to_seal())["schema"] == '{"type":"object"}'
    raw = Question(messages=(), raw="the patient")
    raw.check()
    assert json.loads(raw.to_seal()) == {"raw": "the patient"}
    assert raw.prompt == raw.title() == "the patient"


def test_a_result_may_be_empty_and_a_question_may_not() -> None:
    """A tool that found nothing has answered; a person who typed nothing has not asked."""
    Question(messages=(ASKED, CALLED, Message("tool", "", tool_call_id="call_1"))).check()
    with pytest.raises(BadInputError, match="empty"):
        Question.of(" ").check()


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (Question(messages=()), "last message"),
        (Question(messages=(ASKED, CALLED)), "last message"),
        (Question(messages=(Message("system", "x"),)), "last message"),
        (Question(messages=(ASKED, RESULT)), "answers no call"),
        (Question(messages=(ASKED, CALLED, Message("tool", "x"))), "answers no call"),
        (Question(messages=(ASKED,), raw="x"), "without messages"),
        (Question(messages=(), raw="x", tools=Tools((LOOK,))), "without messages"),
        (Question(messages=(), raw=""), "empty"),
    ],
)
def test_what_makes_no_sense_is_refused(question: Question, words: str) -> None:
    """There must be something to answer, and a result must answer something."""
    with pytest.raises(BadInputError, match=words):
        question.check()


def test_a_title_is_what_a_person_said_last() -> None:
    """A conversation that ends with a tool's result is named by the question before it."""
    assert Question(messages=(ASKED, CALLED, RESULT)).title() == "what is seven?"
    assert len(Question.of("word " * 50).title()) <= MAX_TITLE
