"""Regular expressions in time linear in the text: whoever signed a prompt file cannot hang us.

Patterns run in RE2, which never backtracks; what it cannot do in linear time (back-references,
look-around) it refuses, and so does `check`. Python's own `re` needs exponential time for a
pattern of ten characters. Pure; the text must be bounded by the caller.
"""

from __future__ import annotations

import re2  # type: ignore[import-untyped]  # ships no types

MAX_PATTERN_CHARACTERS = 500
# Also bounds a counted repetition of counted repetitions, which RE2 writes out.
MAX_MEMORY_BYTES = 524_288


class UnusableCheckError(ValueError):
    """A check is malformed, or is one that cannot be run in bounded time."""


def check(pattern: object) -> None:
    """Raise UnusableCheckError unless `pattern` is a text that RE2 takes."""
    if not isinstance(pattern, str) or not 0 < len(pattern) <= MAX_PATTERN_CHARACTERS:
        raise UnusableCheckError(f"a pattern must have 1 to {MAX_PATTERN_CHARACTERS} characters")
    try:
        re2.compile(pattern, options=_options())
    except (re2.error, UnicodeError) as error:
        raise UnusableCheckError(
            f"the pattern {pattern[:80]!r} is not supported: {_said(error)}"
        ) from None


def found(pattern: str, text: str) -> bool:
    """Say whether `pattern`, which `check` accepted, matches anywhere in `text`."""
    readable = text.encode("utf-8", "replace").decode()
    return re2.search(pattern, readable, options=_options()) is not None


def _options() -> re2.Options:
    options = re2.Options()
    options.max_mem = MAX_MEMORY_BYTES
    options.log_errors = False  # it would write the pattern to stderr by itself
    return options


def _said(error: Exception) -> str:
    value = error.args[0] if error.args else "malformed"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
