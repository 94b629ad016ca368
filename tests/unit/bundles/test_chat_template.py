"""Chat templates as they are read: bounded, and nothing in them hidden from a reader."""

from __future__ import annotations

import hashlib

import pytest

from appliance.bundles import chat_template
from appliance.bundles.chat_template import MAX_TEMPLATE_BYTES
from appliance.bundles.refusals import UnsafeModelError
from tests.simulators.tiny_gguf import TEMPLATE

# What real templates hold beside ASCII: the markers of DeepSeek, of SentencePiece, and examples.
UNUSUAL = "{%- if x -%}\t<\uff5cUser\uff5c>▁é 你好 🙂 ☤ نعم\r\n{% endif %}"


@pytest.mark.parametrize("text", [TEMPLATE, UNUSUAL, "x", "x" * MAX_TEMPLATE_BYTES])
def test_ordinary_templates_pass_unchanged(text: str) -> None:
    """Any writing, tabs and line ends of both kinds come out as they went in."""
    assert chat_template.parse(text.encode()) == text


@pytest.mark.parametrize(
    "character",
    ["\0", "\x08", "\x0b", "\x1b", "\x7f", "\x85", "\x9b", "\u200f", "\u2028", "\u202e", "\u2066"],
)
def test_hidden_character_is_refused_by_its_number(character: str) -> None:
    """A character that a reader would not see, or that reorders what he sees, is named."""
    with pytest.raises(UnsafeModelError, match=rf"hidden character U\+{ord(character):04X}"):
        chat_template.parse(f"{{# a{character}b #}}".encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\xff", "not UTF-8"),
        (b"\xed\xa0\x80", "not UTF-8"),
        (b"x" * (MAX_TEMPLATE_BYTES + 1), "larger than 262144 bytes"),
    ],
)
def test_file_that_is_no_bounded_text_is_refused(data: bytes, words: str) -> None:
    """A template file is UTF-8 of 1 to 262,144 bytes."""
    with pytest.raises(UnsafeModelError, match=words):
        chat_template.parse(data)


def test_limit_counts_bytes_not_characters() -> None:
    """A text whose letters take several bytes each meets the limit by its bytes."""
    chat_template.check("é" * (MAX_TEMPLATE_BYTES // 2))
    with pytest.raises(UnsafeModelError, match="larger"):
        chat_template.check("é" * (MAX_TEMPLATE_BYTES // 2 + 1))


def test_digest_is_that_of_the_bytes() -> None:
    """A template's digest is the SHA-256 of its UTF-8 bytes; none has none."""
    assert chat_template.digest("é") == hashlib.sha256("é".encode()).hexdigest()
    assert chat_template.digest("") == ""
