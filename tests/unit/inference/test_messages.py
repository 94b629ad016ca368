"""OpenAI-style messages become plain ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadInputError, TooLargeError
from appliance.inference.engine import Message
from appliance.inference.messages import clean_text, parse_messages


def test_texts_and_lists_of_text_parts_are_read() -> None:
    """Both forms of content that OpenAI knows for text are the same here."""
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    body = [{"role": "system", "content": "be kind"}, {"role": "user", "content": parts}]
    assert parse_messages(body) == (Message("system", "be kind"), Message("user", "one\ntwo"))


def test_a_developer_speaks_as_system() -> None:
    """OpenAI's newer name of the system role is understood."""
    body = [{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}]
    assert parse_messages(body)[0].role == "system"


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file"])
def test_what_is_no_text_is_refused_by_name(kind: str) -> None:
    """An image is refused clearly, never dropped in silence."""
    with pytest.raises(BadInputError, match=kind):
        parse_messages([{"role": "user", "content": [{"type": kind}]}])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "content": "x", "tool_call_id": "1"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    ],
)
def test_tools_are_refused(message: dict[str, object]) -> None:
    """A conversation about tools is not half understood."""
    with pytest.raises(BadInputError, match="tool"):
        parse_messages([message, {"role": "user", "content": "x"}])


@pytest.mark.parametrize(
    "body",
    [
        None,
        "hello",
        [],
        ["hello"],
        [{"role": "user"}],
        [{"role": "user", "content": 5}],
        [{"role": "king", "content": "x"}],
        [{"role": ["user"], "content": "x"}],
        [{"role": "user", "content": [{"type": "text"}]}],
        [{"role": "user", "content": ["x"]}],
        [{"role": "user", "content": " \n "}],
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
    ],
)
def test_a_conversation_without_a_question_is_refused(body: object) -> None:
    """Whatever is not a conversation that ends with a question is bad input."""
    with pytest.raises(BadInputError):
        parse_messages(body)


def test_too_many_messages_are_refused() -> None:
    """The number of messages has a limit of its own."""
    with pytest.raises(TooLargeError, match="1001"):
        parse_messages([{"role": "user", "content": "x"}] * 1001)


def test_control_characters_are_replaced() -> None:
    """Escape sequences lose their power, pasted line ends become plain ones."""
    assert clean_text("a\x1b[2Jb\r\nc\x0cd\x00e\tf") == "a [2Jb\nc\nd e\tf"


def test_emoji_and_right_to_left_marks_stay() -> None:
    """What people write is not touched."""
    text = "🙂👩\u200d⚕️ \u200f\u0645\u0631\u062d\u0628\u0627\u202c"
    assert clean_text(text) == text


@given(st.text(st.characters()))
def test_clean_text_can_always_be_encoded(text: str) -> None:
    """Whatever comes in, what goes out is UTF-8, and cleaning twice changes nothing."""
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert cleaned.encode().decode() == cleaned
    assert not any(ord(character) < 32 and character not in "\n\t" for character in cleaned)
