"""Syslog: one RFC 5424 message per entry, every field as structured data (pure).

A message has no control characters: each of their octets is written as `#` and three octal
digits, as RFC 5424 section 6.2 suggests and rsyslog does, and `#` itself as `#043`, so that the
value comes back exactly. So a message is one line, whichever framing carries it.

Not here: framing and sending. A message can be as long as an entry (64 KiB) and more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from appliance.audit.chain import Stored
from appliance.audit.exports.reading import row, site

FACILITY = 13  # log audit
# The number that IANA set aside for documents: the project has none of its own.
SD_ID = "entry@32473"
APP_NAME = "appliance"
NIL = "-"
BOM = "\ufeff"
_SEVERITY = {"intent": 6, "success": 6, "refused": 4, "failure": 3}
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029#"\\\]]')
_ESCAPED = {'"': '\\"', "\\": "\\\\", "]": "\\]"}
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")


def lines(entries: Iterable[Stored]) -> Iterator[bytes]:
    """Yield one line per entry; the site's name stands for the host's."""
    for stored in entries:
        yield line(stored) + b"\n"


def line(stored: Stored, hostname: str | None = None) -> bytes:
    """Return one message without line feed or framing.

    `hostname` is the sender's own name; without one it is the site's, which is in the entry, so
    that the same entry gives the same file on every machine.
    """
    entry = row(stored)
    header = (
        f"<{FACILITY * 8 + _SEVERITY.get(entry['outcome'], 5)}>1 {entry['t']} "
        f"{_printable(hostname or site(entry['log']), 255)} {APP_NAME} {NIL} "
        f"{_printable(entry['action'], 32)}"
    )
    message = f"{entry['action']} {entry['outcome']}"
    return f"{header} {_structured(entry)} {BOM}{message}".encode()


def _structured(entry: dict[str, Any]) -> str:
    # A null is left out, so that it differs from an empty text.
    parts = [
        f'{name}="{_UNSAFE.sub(_replacement, value) if type(value) is str else value}"'
        for name, value in entry.items()
        if value is not None
    ]
    return f"[{SD_ID} {' '.join(parts)}]"


def _replacement(match: re.Match[str]) -> str:
    character = match[0]
    escaped = _ESCAPED.get(character)
    return escaped or "".join(f"#{octet:03o}" for octet in character.encode())


def _printable(text: str, length: int) -> str:
    """Return text for a header field: visible ASCII, no spaces, never empty."""
    return _NOT_PRINTABLE.sub("_", text)[:length] or NIL
