"""Names have one spelling; labels cannot disguise what stands beside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadInputError
from appliance.identity.accounts import MAX_TEXT, NAME_PATTERN, normal_name, shown_text


@pytest.mark.parametrize(
    ("typed", "name"),
    [("Ada", "ada"), (" ada.l ", "ada.l"), ("A-1_b@ward", "a-1_b@ward"), ("\u212aim", "kim")],
)
def test_a_name_has_one_spelling(typed: str, name: str) -> None:
    """Case, blanks around it and look-alike compatibility letters do not make another person."""
    assert normal_name(typed) == name


@pytest.mark.parametrize(
    "name",
    ["", " ", ".ada", "a b", "a\nb", "\u0430da", "é", "a" * 65, "ada\u202e", "a/b", "\ud800"],
)
def test_other_names_are_refused(name: str) -> None:
    """Cyrillic look-alikes, blanks, controls and overlong names are no user names."""
    with pytest.raises(BadInputError, match="user name"):
        normal_name(name)


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    """Whatever is accepted is in its final form."""
    try:
        name = normal_name(text)
    except BadInputError:
        return
    assert normal_name(name) == name
    assert NAME_PATTERN.fullmatch(name)


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[31mred", "a\u202eb", "a\u200bb", "\ud800"])
def test_a_label_has_no_hidden_characters(text: str) -> None:
    """Terminal escapes, direction changes and invisible letters are refused."""
    with pytest.raises(BadInputError, match="one line of plain text"):
        shown_text(text, "the label")


def test_a_label_may_be_in_any_script() -> None:
    """Names of people are not ASCII."""
    assert shown_text(" Dr. Élodie Müller-Ñandú 李 ", "the label") == "Dr. Élodie Müller-Ñandú 李"


def test_a_label_has_a_limit() -> None:
    """A table can show it."""
    with pytest.raises(BadInputError, match=str(MAX_TEXT)):
        shown_text("x" * (MAX_TEXT + 1), "the label")
