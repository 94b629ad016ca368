"""What changed in a chat template, shown so that nothing in it can hide or take for ever."""

from __future__ import annotations

import pytest

from appliance.bundles.template_difference import (
    MAX_SHOWN_CHARACTERS,
    MAX_SHOWN_LINES,
    compare,
    visible,
)


def test_changed_lines_stand_between_a_few_that_did_not_change() -> None:
    """One line removed, one added, and a gap where nothing changed."""
    old = "\n".join(f"line {n}" for n in range(40))
    found = compare(old, old.replace("line 5\n", "line five\n").replace("line 30", "line thirty"))
    kinds = [line.kind for line in found.lines]
    assert (found.added, found.removed, found.cut) == (2, 2, False)
    assert kinds.count("gap") == 1
    assert kinds.count("same") == 8


def test_equal_templates_have_no_difference() -> None:
    """Nothing is shown when there is nothing to read."""
    assert compare("a\nb", "a\nb").none
    assert compare("a\nb", "a\nb").lines == ()


def test_a_template_of_one_long_line_is_broken_before_its_tags() -> None:
    """Real templates are often one line: a change in one tag does not show all of it."""
    old = "".join(f"{{% if x == {n} %}}text {n}" for n in range(40))
    found = compare(old, old.replace("text 20", "other"))
    assert (found.added, found.removed) == (1, 1)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", r"a\x1b[2Jb"), ("a\u202eb", r"a\u{202e}b"), ("a\u200bb", r"a\u{200b}b"),
        ("a\u00a0b", r"a\xa0b"), ("a\u2028b", r"a\u{2028}b"), ("a\rb", r"a\x0db"),
        ("Grüße 你好", "Grüße 你好"),
    ],
)  # fmt: skip
def test_characters_that_hide_show_themselves(text: str, shown: str) -> None:
    """Escape sequences, reordering, invisible and odd blanks are written out; letters are not."""
    assert visible(text) == shown


def test_a_change_that_cannot_be_seen_is_a_change() -> None:
    """A blank swapped for one that looks the same is shown as a changed line."""
    found = compare("{{ a }}", "{{\u00a0a }}")
    assert (found.added, found.removed) == (1, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n" * 200_000, "\n" * 250_000),
        ("ab\n" * 1_900, "ba\n" * 1_900),
        ("{%" * 100_000, "{{" * 100_000),
        ("x" * 260_000, "y" * 260_000),
    ],
)
def test_the_largest_templates_are_compared_soon_and_shown_in_part(old: str, new: str) -> None:
    """Whatever a publisher signs, what is shown stays small."""
    found = compare(old, new)
    assert len(found.lines) <= MAX_SHOWN_LINES
    assert all(len(line.text) <= MAX_SHOWN_CHARACTERS for line in found.lines)
    assert found.cut
