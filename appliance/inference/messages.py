"""Texts on their way to a model: printable characters, and nothing that cannot be encoded.

Pure. Guarantees that what comes out can be encoded, sealed, shown and tokenized. Control
characters are replaced, not refused, since they come along when text is pasted from other
systems: form feeds and the like become a line break, all others a space, lone surrogates
U+FFFD. Marks for right-to-left text and emoji stay as they are. Not here: limits in tokens.
"""

from __future__ import annotations

import re

_LINE_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Return `text` with line breaks as `\\n` and no control characters or lone surrogates."""
    text = _CONTROL.sub(" ", _LINE_BREAKS.sub("\n", text))
    return _SURROGATES.sub("\ufffd", text)
