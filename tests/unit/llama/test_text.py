"""Text made safe on the way in, put together on the way out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.llama.text import Neutraliser, PieceDecoder, StopMatcher, without_surrogates

MARKERS = ["<|end|>", "</s>", "<tool>", "\x01", "< |end|>"]


@pytest.mark.parametrize("marker", ["<|end|>", "<|im_start|>", "</s>", "[INST]", "<start_of_turn>"])
def test_known_markers_are_broken_whatever_the_vocabulary(marker: str) -> None:
    """A turn marker of a common family does not survive in a message."""
    assert marker not in Neutraliser([])(f"before {marker} after")


def test_a_broken_marker_is_still_readable() -> None:
    """Only a space is added, so that a reader sees what was written."""
    assert Neutraliser([])("say <|end|> now") == "say < |end|> now"


def test_ordinary_clinical_text_is_left_alone() -> None:
    """Comparisons, units and pipes are no markers."""
    text = "BP 120/80 | SpO2 <94% | K+ >5.5 mmol/l\n<b>bold</b> <5 | >3"
    assert Neutraliser(["<|end|>"])(text) == text


@given(st.lists(st.sampled_from([*MARKERS, "<", "|", "end", ">", " ", "a"]), max_size=30))
def test_no_control_text_survives_any_combination(parts: list[str]) -> None:
    """However markers are nested or glued, none is left after neutralising."""
    safe = Neutraliser(MARKERS)("".join(parts))
    assert not any(marker in safe for marker in MARKERS)


def test_lone_surrogates_become_replacement_characters() -> None:
    """What has no UTF-8 form is replaced, and a whole emoji is not touched."""
    assert without_surrogates("a\ud83db🙂") == "a\ufffdb🙂"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.integers(1, 5))
def test_split_characters_come_out_whole(text: str, size: int) -> None:
    """Bytes cut anywhere give the same text, and no piece holds half a character."""
    data, decoder = text.encode(), PieceDecoder()
    pieces = [decoder.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert "".join([*pieces, decoder.flush()]) == text


def test_bytes_that_are_no_text_are_replaced() -> None:
    """An answer that ends inside a character shows U+FFFD once."""
    decoder = PieceDecoder()
    assert decoder.feed(b"a\xf0\x9f") + decoder.flush() == "a\ufffd"


def test_control_characters_do_not_come_out() -> None:
    """No escape sequence reaches a terminal; tab and newline stay."""
    assert PieceDecoder().feed(b"a\x1b[2J\x00\tb\n") == "a[2J\tb\n"


@given(
    st.text("abc", max_size=40),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    st.integers(1, 4),
)
def test_stop_texts_are_found_across_pieces(text: str, stops: list[str], size: int) -> None:
    """The answer ends before the first stop text, wherever the pieces were cut."""
    matcher, shown = StopMatcher(tuple(stops)), ""
    for at in range(0, len(text), size):
        shown += matcher.feed(text[at : at + size])
        if matcher.matched:
            break
    shown += matcher.flush()
    assert not any(stop in shown for stop in stops)
    assert text.startswith(shown)
    assert matcher.matched == any(stop in text for stop in stops)
    assert matcher.matched or shown == text


def test_only_a_possible_beginning_is_held_back() -> None:
    """Text flows on at once unless it may be the beginning of a stop text."""
    matcher = StopMatcher(("STOP",))
    assert [matcher.feed("go S"), matcher.feed("T"), matcher.feed("x")] == ["go ", "", "STx"]
