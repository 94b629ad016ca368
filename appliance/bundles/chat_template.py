"""A chat template as it is read: bounded text, nothing in it hidden from whoever approves it. Pure.

A template decides what a model is told besides the question. One that shows a person something
else than what the engine runs cannot be approved by anybody: characters that end a text early,
steer a terminal or turn the order of writing round are refused. Templates of real models hold
none of them. Not here: what a template does when it runs (the engine's sandbox, the evaluation).
"""

from __future__ import annotations

import hashlib
import re

from appliance.bundles.refusals import UnsafeModelError

MAX_TEMPLATE_BYTES = 262_144
# Control characters but for tab and line ends; and those of CVE-2021-42574 ("Trojan Source"),
# which show a line in another order than it is read.
HIDING = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]"
)


def parse(data: bytes) -> str:
    """Return the text of a template file of 1 to 256 KiB; raise UnsafeModelError."""
    if not data:
        raise UnsafeModelError("the chat template is empty")
    if len(data) > MAX_TEMPLATE_BYTES:
        raise _too_large()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnsafeModelError("the chat template is not UTF-8") from error
    check(text)
    return text


def check(text: str) -> None:
    """Raise UnsafeModelError for a text that is too large or hides something from its reader."""
    if len(text.encode()) > MAX_TEMPLATE_BYTES:
        raise _too_large()
    hidden = HIDING.search(text)
    if hidden is not None:
        raise UnsafeModelError(
            f"the chat template holds the hidden character U+{ord(hidden[0]):04X}"
        )


def digest(text: str) -> str:
    """Return the SHA-256 in hex of a template, "" of none."""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def _too_large() -> UnsafeModelError:
    return UnsafeModelError(f"the chat template is larger than {MAX_TEMPLATE_BYTES} bytes")
