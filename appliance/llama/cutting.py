"""Cuts long texts into parts that llama.cpp's tokenizer can read without running out of stack.

Pure. It splits texts by `std::regex`, which goes one call deeper with each character of a match:
some 30,000 blanks or letters in a row end the process, and nothing can catch that. Guarantee: no
part is longer than `LONGEST` but for a mark at its end, together they are the text, and no mark
(the text of a control token) is cut. Where a text has a single blank or line end between two
words nearby, it is cut there, which changes no token of a vocabulary that splits at words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# About a megabyte of stack; threads have eight where nobody said otherwise.
LONGEST = 4_096
_BETWEEN_WORDS = re.compile(r"(?<=\S)(?= \S)|(?<=\S\n)(?=\S)")


def marks_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Return what finds these texts, the longest first; nothing where there are none."""
    longest = sorted(filter(None, set(texts)), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest)) or "(?!)")


def parts(text: str, marks: re.Pattern[str]) -> Iterator[str]:
    """Yield the text in parts."""
    found = [match.span() for match in marks.finditer(text)]
    start, mark = 0, 0
    while len(text) - start > LONGEST:
        at = _place(text, start)
        while mark < len(found) and found[mark][1] <= at:
            mark += 1
        if mark < len(found) and found[mark][0] < at:
            before, after = found[mark]
            at = before if before > start else after
        yield text[start:at]
        start = at
    yield text[start:]


def _place(text: str, start: int) -> int:
    """Return the last place between two words in the second half of a part, else its end."""
    end = start + LONGEST
    between = [found.start() for found in _BETWEEN_WORDS.finditer(text, end - LONGEST // 2, end)]
    return between[-1] if between else end
