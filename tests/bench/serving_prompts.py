"""What the servers are asked: words without meaning, of known length, new in every round.

Pure and deterministic: in one round every server gets the same prompts. The salt names the round,
so a prompt shares nothing but the template's first marks with any prompt of an earlier round, and
no server profits from what it kept. Each word is one token (see `speed_model`).
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence

from tests.simulators import speed_model

Messages = tuple[dict[str, str], ...]

SYSTEM_TOKENS, QUESTION_TOKENS, LONG_TOKENS, PREFIX_TOKENS = 200, 24, 6_000, 1_000


def shared(streams: int, salt: str, asked: str = "first") -> list[Messages]:
    """Return questions that differ under one system prompt; `asked` makes others of the same."""
    system = _text(SYSTEM_TOKENS, salt, "system")
    return [
        _dialogue(system, _text(QUESTION_TOKENS, salt, asked, number)) for number in range(streams)
    ]


def cold(streams: int, salt: str) -> list[Messages]:
    """Return questions of the same length that have nothing in common, not even a first word."""
    return [
        _dialogue(
            _text(SYSTEM_TOKENS, salt, "own system", number),
            _text(QUESTION_TOKENS, salt, "own question", number),
        )
        for number in range(streams)
    ]


def prefixed(questions: int, salt: str) -> list[Messages]:
    """Return questions under one long system prompt, as a template with a guideline would be."""
    system = _text(PREFIX_TOKENS, salt, "guideline")
    return [
        _dialogue(system, _text(QUESTION_TOKENS, salt, "on it", number))
        for number in range(questions)
    ]


def long(salt: str) -> Messages:
    """Return one question as long as a whole record that was pasted."""
    return ({"role": "user", "content": _text(LONG_TOKENS, salt, "record")},)


def _dialogue(system: str, question: str) -> Messages:
    return {"role": "system", "content": system}, {"role": "user", "content": question}


def _text(tokens: int, *salt: object) -> str:
    label = "/".join(map(str, salt))
    return " ".join(random.Random(label).choices(_words(), k=tokens))  # noqa: S311  # no secret


@functools.cache
def _words() -> Sequence[str]:
    return speed_model.words()
