"""What the views have in common: the fields of an entry, flat and by name (pure)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from appliance.audit.chain import Stored

# Every field of an entry, in the order of a table. The first 21 stay where they are for those
# who count columns; new ones come after them.
COLUMNS = (
    "seq", "leaf", "t", "type", "action", "outcome", "user", "role", "method", "credential",
    "source", "entity", "purpose", "model", "model_version", "model_digest", "prompt_tokens",
    "answer_tokens", "latency_ms", "policy", "content", "v", "log", "boot", "mono", "prev",
)  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def fields(stored: Stored) -> dict[str, Any]:
    """Return the entry's 19 fields as they were recorded."""
    value: dict[str, Any] = json.loads(stored.data)
    return value


def row(stored: Stored) -> dict[str, Any]:
    """Return one value (text, whole number or None) for each of COLUMNS; `content` is JSON."""
    return flat(stored, fields(stored))


def flat(stored: Stored, value: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an entry whose fields have been read already."""
    agent, model, tokens = value["agent"], value["model"] or {}, value["tokens"] or {}
    content = value["content"]
    return {
        "seq": stored.seq,
        "leaf": stored.leaf.hex(),
        "t": value["t"],
        "type": value["type"],
        "action": value["action"],
        "outcome": value["outcome"],
        "user": agent["user"],
        "role": agent["role"],
        "method": agent["method"],
        "credential": agent["credential"],
        "source": value["source"],
        "entity": value["entity"],
        "purpose": value["purpose"],
        "model": model.get("name"),
        "model_version": model.get("version"),
        "model_digest": model.get("digest"),
        "prompt_tokens": tokens.get("prompt"),
        "answer_tokens": tokens.get("answer"),
        "latency_ms": value["latency_ms"],
        "policy": value["policy"],
        "content": None if content is None else compact(content),
        "v": value["v"],
        "log": value["log"],
        "boot": value["boot"],
        "mono": value["mono"],
        "prev": value["prev"],
    }


def compact(value: object) -> str:
    """Return JSON without spaces, keys sorted, with letters of every script as they are."""
    return _ENCODER.encode(value)


def line(value: object) -> bytes:
    """Return JSON as one line with its line feed; no key is moved."""
    return _LINE_ENCODER.encode(value).encode() + b"\n"


def microseconds(t: str) -> int:
    """Return microseconds since 1970-01-01 UTC of an RFC 3339 time."""
    return (datetime.fromisoformat(t) - _EPOCH) // _MICROSECOND


def site(log: str) -> str:
    """Return the site's name, with which the name of every record starts."""
    return log.partition("/audit/")[0]


@lru_cache(maxsize=1024)
def address(source: str) -> IPv4Address | IPv6Address | None:
    """Return the address that `source` is, or None where it is a name such as `console`."""
    try:
        found = ip_address(source)
    except ValueError:
        return None
    return None if "%" in source else found


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_LINE_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
