"""Titles: one line, of limited length, whatever they were made from."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.conversations.values import MAX_TITLE, UNTITLED, fitting_title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Discharge", "Discharge"),
        ("  two\n\tlines ", "two lines"),
        ("\x1b[31mred\u202e", "[31mred"),
        ("", UNTITLED),
        ("\x00\u200b", UNTITLED),
        ("half \ud800 pair", "half  pair"),
    ],
)
def test_a_title_is_one_plain_line(text: str, title: str) -> None:
    """Line ends become blanks; control and invisible characters go."""
    assert fitting_title(text) == title


@given(st.text(st.characters(codec=None), max_size=400))
def test_any_text_gives_a_fitting_title(text: str) -> None:
    """Never empty, never too long, never with a hidden character, always Unicode."""
    title = fitting_title(text)
    title.encode()
    assert 1 <= len(title) <= MAX_TITLE
    assert not {unicodedata.category(character) for character in title} & {"Cc", "Cf", "Zl", "Zp"}
