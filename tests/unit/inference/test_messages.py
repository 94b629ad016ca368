"""Texts that go to a model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.inference.messages import clean_text


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
