"""What changed from one chat template to another, line by line, safe to look at. Pure.

A template decides what the model is told besides the question, so a second person reads its
changes before agreeing. The text is the publisher's: characters that steer a terminal, reorder
text or do not show are written out as escapes, so that what is read is what is there.
The work is bounded whatever the texts hold. Not here: whose template it is, how lines are shown.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["same", "added", "removed", "gap"]

# Templates are often one line of thousands of characters: those are broken before each tag.
LONG_LINE = 100
TAG = re.compile(r"(?=\{[%{#])")
CONTEXT_LINES = 2
MAX_COMPARED_LINES = 2_000
MAX_SHOWN_LINES = 200
MAX_SHOWN_CHARACTERS = 240


@dataclass(frozen=True)
class Line:
    """One line to show; a `gap` stands for unchanged lines left out and has no text."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Difference:
    """Lines added, removed, and around those; `cut` when there was too much to show them all."""

    lines: tuple[Line, ...]
    added: int
    removed: int
    cut: bool

    @property
    def none(self) -> bool:
        """Return whether nothing that can be read differs."""
        return not self.added and not self.removed


def compare(old: str, new: str) -> Difference:
    """Return what must change in `old` to become `new`."""
    before, after = _lines(old), _lines(new)
    if max(len(before), len(after)) > MAX_COMPARED_LINES:
        # Comparing takes time with the square of the lines: this much is replaced as a whole.
        some = MAX_SHOWN_LINES + 1
        first = [Line("removed", text) for text in before[:some]]
        first += [Line("added", text) for text in after[:some]]
        return _shown(first, len(after), len(before))
    lines = list(_changes(before, after))
    counts = {kind: sum(line.kind == kind for line in lines) for kind in ("added", "removed")}
    return _shown(lines, counts["added"], counts["removed"])


def visible(text: str) -> str:
    """Return a text of one line in which every character shows itself."""
    return "".join(_escape(character) if _hidden(character) else character for character in text)


def _lines(text: str) -> list[str]:
    found: list[str] = []
    # Only real line ends: `splitlines` also breaks at characters that must be shown.
    for line in text.split("\n"):
        parts = TAG.split(line) if len(line) > LONG_LINE else [line]
        found += [visible(part) for part in parts if part or len(parts) == 1]
    return found


def _changes(before: Sequence[str], after: Sequence[str]) -> Iterator[Line]:
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=True)
    for number, group in enumerate(matcher.get_grouped_opcodes(CONTEXT_LINES)):
        if number:
            yield Line("gap", "")
        for what, old_from, old_to, new_from, new_to in group:
            if what == "equal":
                yield from (Line("same", text) for text in before[old_from:old_to])
                continue
            yield from (Line("removed", text) for text in before[old_from:old_to])
            yield from (Line("added", text) for text in after[new_from:new_to])


def _shown(lines: Sequence[Line], added: int, removed: int) -> Difference:
    short = tuple(Line(line.kind, _cut(line.text)) for line in lines[:MAX_SHOWN_LINES])
    long_line = any(len(line.text) > MAX_SHOWN_CHARACTERS for line in lines[:MAX_SHOWN_LINES])
    return Difference(short, added, removed, long_line or len(lines) > MAX_SHOWN_LINES)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…"


def _hidden(character: str) -> bool:
    # C*: controls, formats (joiners, reordering), surrogates, private use; Z*: odd blanks.
    category = unicodedata.category(character)
    return category[0] == "C" or (category[0] == "Z" and character != " ")


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{{{number:x}}}"
