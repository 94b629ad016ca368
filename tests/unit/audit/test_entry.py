"""The bytes of an entry and its leaf hash, against vectors made without this package."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from appliance.audit.entry import Event, Position, encode, leaf_hash
from appliance.errors import BadInputError, TooLargeError
from tests.unit.audit import samples

VECTORS = Path(__file__).parents[2] / "vectors" / "audit"
POSITION = Position("ward", 0, "2026-01-31T09:30:00.123Z", samples.BOOT, 1, bytes(32))


def vectors(name: str) -> list[Any]:
    loaded: list[Any] = json.loads((VECTORS / name).read_text())
    return loaded


def position(value: dict[str, Any]) -> Position:
    return Position(**{**value, "prev": bytes.fromhex(value["prev"])})


@pytest.mark.parametrize("vector", vectors("entries.json"), ids=lambda vector: vector["name"])
def test_entry_has_the_bytes_of_the_vector(vector: dict[str, Any]) -> None:
    """An entry is encoded as RFC 8785 lays down, byte for byte."""
    data = encode(Event.from_json(vector["event"]), position(vector["position"]))
    assert data == vector["entry"].encode()


@pytest.mark.parametrize("vector", vectors("entries.json"), ids=lambda vector: vector["name"])
def test_vector_is_what_json_and_hashlib_say(vector: dict[str, Any]) -> None:
    """The vectors agree with Python's own json and hashlib, used here without our encoder."""
    entry = vector["entry"].encode()
    again = json.dumps(json.loads(entry), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert again.encode() == entry
    assert hashlib.sha256(b"\x00" + entry).hexdigest() == vector["leaf"]


@pytest.mark.parametrize("vector", vectors("entries.json"), ids=lambda vector: vector["name"])
def test_leaf_hash_is_that_of_the_vector(vector: dict[str, Any]) -> None:
    """A leaf hash is SHA-256 over a zero byte and the entry (RFC 9162 section 2.1.1)."""
    assert leaf_hash(vector["entry"].encode()).hex() == vector["leaf"]


@pytest.mark.parametrize("vector", vectors("refused.json"), ids=lambda vector: vector["name"])
def test_what_is_not_an_event_is_refused(vector: dict[str, Any]) -> None:
    """What is not an event gets the error class that the vector names."""
    with pytest.raises(BadInputError) as caught:
        encode(Event.from_json(vector["event"]), POSITION)
    assert type(caught.value).__name__ == vector["error"]


def test_event_survives_json() -> None:
    """An event read back from its JSON is the same event."""
    there = samples.event(3)
    assert Event.from_json(json.loads(json.dumps(there.to_json()))) == there


def test_entry_over_the_limit_is_refused() -> None:
    """An entry of more than 65,535 bytes is refused, not cut."""
    with pytest.raises(TooLargeError):
        encode(samples.event(content={"x": "y" * 65_535}), POSITION)


def test_uptime_of_ten_years_can_be_recorded() -> None:
    """The monotonic time of a machine that runs for ten years still fits into an entry."""
    ten_years_us = 10 * 365 * 86_400 * 1_000_000
    late = Position("ward", 0, POSITION.t, samples.BOOT, ten_years_us, bytes(32))
    assert json.loads(encode(samples.event(), late))["mono"] == ten_years_us
