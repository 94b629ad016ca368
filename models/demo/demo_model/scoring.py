"""Compare an answer with the expected one: field by field, as a string, and by its numbers.

Guarantee: a field counts as right only if its value is equal to the expected one, and each
number in the answer that the expected answer lacks is counted as extra.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

_LINE = re.compile(r"- ([A-Z][A-Za-z ]+): (.+)")
_DURATION = re.compile(r" ((?:for (?:\d+|two|three|four|five|six) \w+)|since [\w ]+)$")
_PERSON = re.compile(r"(\d+-(?:year|month)-old) (\w+)")
_NUMBER = re.compile(r"\d+(?:[./]\d+)?")


@dataclass(frozen=True)
class Score:
    """How one answer compares with the expected one."""

    right: tuple[str, ...]
    wrong: tuple[str, ...]
    missing: tuple[str, ...]
    extra_fields: tuple[str, ...]
    extra_numbers: tuple[str, ...]
    exact: bool


def read_fields(summary: str) -> dict[str, str]:
    """The fields of a summary list; the person and the complaint are split further."""
    fields: dict[str, str] = {}
    for name, value in _LINE.findall(summary):
        if name == "Patient":
            person = _PERSON.fullmatch(value)
            age, noun = person.groups() if person else ("not stated", value.split(",")[0])
            fields.update({"Age": age, "Person": noun})
        elif name == "Complaint":
            duration = _DURATION.search(value)
            if duration:
                value = value[: duration.start()]
                fields["Duration"] = duration[1]
            fields["Complaint"] = value
        else:
            fields[name] = value
    return fields


def extra_numbers(answer: str, expected: str) -> tuple[str, ...]:
    """Numbers in the answer beyond those of the expected answer, with repetition."""
    surplus = Counter(_NUMBER.findall(answer)) - Counter(_NUMBER.findall(expected))
    return tuple(sorted(surplus.elements()))


def score(answer: str, expected: str) -> Score:
    """Score one summary; both are Markdown lists as `demo_model.notes.summary` writes them."""
    wanted, found = read_fields(expected), read_fields(answer)
    return Score(
        right=tuple(name for name in wanted if found.get(name) == wanted[name]),
        wrong=tuple(n for n in wanted if n in found and found[n] != wanted[n]),
        missing=tuple(name for name in wanted if name not in found),
        extra_fields=tuple(name for name in found if name not in wanted),
        extra_numbers=extra_numbers(answer, expected),
        exact=answer.strip() == expected.strip(),
    )
