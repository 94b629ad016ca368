"""CEF (ArcSight Common Event Format 0): keys of its dictionary where one fits, else our own.

Escaping: `\\` and `|` in the header; `\\`, `=` and line breaks in values. One line per entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from appliance.audit.chain import Stored
from appliance.audit.exports.reading import address, microseconds, row

VENDOR, PRODUCT = "appliance", "audit record"
# Where the dictionary has no key, the guideline is a name that starts with the vendor's.
KEYS = {
    "seq": "externalId",
    "leaf": "applianceLeaf",
    "type": "cat",
    "action": "act",
    "outcome": "outcome",
    "user": "suid",
    "role": "spriv",
    "method": "applianceMethod",
    "credential": "applianceCredential",
    "entity": "applianceEntity",
    "purpose": "appliancePurpose",
    "model": "applianceModel",
    "model_version": "applianceModelVersion",
    "model_digest": "applianceModelDigest",
    "prompt_tokens": "appliancePromptTokens",
    "answer_tokens": "applianceAnswerTokens",
    "latency_ms": "applianceLatencyMs",
    "policy": "appliancePolicy",
    "content": "applianceContent",
    "log": "deviceExternalId",
    "boot": "applianceBoot",
    "mono": "applianceMono",
    "prev": "appliancePrev",
}
_SEVERITY = {"intent": 1, "success": 2, "refused": 6, "failure": 7}
_HEADER = str.maketrans({"\\": "\\\\", "|": "\\|", "\n": " ", "\r": " "})
_VALUE = re.compile(r"[\\=\n\r]")
_ESCAPED = {"\\": "\\\\", "=": "\\=", "\n": "\\n", "\r": "\\r"}


def lines(entries: Iterable[Stored]) -> Iterator[bytes]:
    """Yield one line per entry."""
    for stored in entries:
        yield line(stored) + b"\n"


def line(stored: Stored) -> bytes:
    """Return one event without line feed."""
    entry = row(stored)
    head = (VENDOR, PRODUCT, str(entry["v"]), entry["action"], entry["action"].replace(".", " "))
    header = "|".join(text.translate(_HEADER) for text in head)
    extension = {"rt": microseconds(entry["t"]) // 1000, **_source(entry["source"])}
    extension |= {key: entry[name] for name, key in KEYS.items() if entry[name] is not None}
    pairs = " ".join(f"{key}={_value(value)}" for key, value in extension.items())
    return f"CEF:0|{header}|{_SEVERITY.get(entry['outcome'], 5)}|{pairs}".encode()


def _source(source: str | None) -> dict[str, Any]:
    if source is None:
        return {}
    found = address(source)
    if found is None:
        return {"shost": source}
    # `src` holds IPv4 only; IPv6 has custom fields of its own, with labels.
    if found.version == 4:
        return {"src": source}
    return {"c6a2": source, "c6a2Label": "Source IPv6 Address"}


def _value(value: object) -> str:
    return _VALUE.sub(lambda match: _ESCAPED[match[0]], value) if type(value) is str else str(value)
