"""The hash chain: what it catches, at which entry, and what it cannot catch."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import canonical
from appliance.audit.chain import EMPTY, Chain, ChainHead, Stored, verify
from appliance.audit.entry import Position, encode, leaf_hash
from appliance.errors import TamperedError
from tests.unit.audit import samples


def chained(count: int, start: int = 0, prev: bytes = bytes(32)) -> list[Stored]:
    entries = []
    for seq in range(start, start + count):
        position = Position("ward", seq, "2026-01-31T09:30:00.123Z", samples.BOOT, seq, prev)
        data = encode(samples.event(seq), position)
        prev = leaf_hash(data)
        entries.append(Stored(seq, data, prev))
    return entries


WHOLE = chained(8)


def reworded(stored: Stored, **changes: object) -> Stored:
    """Return the entry with other words and a leaf hash that fits them."""
    data = canonical.encode({**json.loads(stored.data), **changes})
    return Stored(stored.seq, data, leaf_hash(data))


def test_whole_chain_gives_its_head() -> None:
    """A whole chain leads to its size and last leaf."""
    assert verify(WHOLE, "ward") == ChainHead(8, WHOLE[-1].leaf)


def test_empty_chain_is_whole() -> None:
    """A record without entries is whole."""
    assert verify([]) == EMPTY


def test_walk_can_start_at_a_trusted_head() -> None:
    """From a head that is trusted, only what came after is walked."""
    chain = Chain("ward", ChainHead(5, WHOLE[4].leaf))
    for stored in WHOLE[5:]:
        chain.add(stored)
    assert chain.head == ChainHead(8, WHOLE[-1].leaf)


@given(st.integers(0, 7), st.data())
def test_any_flipped_bit_of_an_entry_names_it(seq: int, data: st.DataObject) -> None:
    """One flipped bit in an entry's bytes is reported at that entry."""
    changed = bytearray(WHOLE[seq].data)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    entries = [*WHOLE[:seq], replace(WHOLE[seq], data=bytes(changed)), *WHOLE[seq + 1 :]]
    with pytest.raises(TamperedError) as caught:
        verify(entries)
    assert caught.value.seq == seq


@given(st.integers(0, 7), st.integers(0, 255))
def test_any_flipped_bit_of_a_leaf_names_its_entry(seq: int, bit: int) -> None:
    """One flipped bit in a stored leaf hash is reported at its entry."""
    changed = bytearray(WHOLE[seq].leaf)
    changed[bit // 8] ^= 1 << bit % 8
    entries = [*WHOLE[:seq], replace(WHOLE[seq], leaf=bytes(changed)), *WHOLE[seq + 1 :]]
    with pytest.raises(TamperedError) as caught:
        verify(entries)
    assert caught.value.seq == seq


def test_missing_entry_is_named() -> None:
    """A deleted entry is reported by its own number."""
    with pytest.raises(TamperedError, match="it is missing") as caught:
        verify(WHOLE[:3] + WHOLE[4:])
    assert caught.value.seq == 3


def test_entry_twice_is_refused() -> None:
    """An entry that is there twice is reported."""
    with pytest.raises(TamperedError) as caught:
        verify([*WHOLE[:3], WHOLE[2]])
    assert caught.value.seq == 2


def test_changed_entry_with_a_fresh_hash_is_named_by_the_next_link() -> None:
    """An entry reworded with a fitting hash of its own is found by the entry after it."""
    with pytest.raises(TamperedError, match="names another leaf hash") as caught:
        verify([*WHOLE[:3], reworded(WHOLE[3], entity="msg_x"), *WHOLE[4:]])
    assert caught.value.seq == 3


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"v": 2}, "fields of an entry"),
        ({"extra": 1}, "fields of an entry"),
        ({"seq": 4}, "says that it is entry 4"),
        ({"log": "other"}, "another log"),
        ({"action": "answer.invent"}, "closed list"),
        ({"outcome": "maybe"}, "closed list"),
        ({"type": "system"}, "closed list"),
    ],
)
def test_wrong_statement_is_refused(changes: dict[str, object], what: str) -> None:
    """An entry that states something impossible is reported, whatever its hash says."""
    with pytest.raises(TamperedError, match=what) as caught:
        verify([*WHOLE[:3], reworded(WHOLE[3], **changes)], "ward")
    assert caught.value.seq == 3


@pytest.mark.parametrize(
    "spelling",
    [
        lambda data: data.replace(b'"action":', b'"action": ', 1),
        lambda data: data.replace(b'"latency_ms":1234', b'"latency_ms":1234.0', 1),
        lambda data: data.replace(b'"latency_ms":1234', b'"latency_ms":90071992547409930', 1),
        lambda data: data.replace(b'"latency_ms":1234', b'"latency_ms":NaN', 1),
        lambda data: data.replace(b'"v":1', b'"v":1,"v":1', 1),
        lambda data: data.replace(b"msg_", b"\\u006dsg_", 1),
        lambda data: data.replace(b"msg_", b"\xff", 1),
        lambda data: data.replace(b'"msg_00000003"', b'"\\ud800"', 1),
        lambda data: b"[" * 60_000,
        lambda data: data + b" " * 65_535,
    ],
)
def test_second_spelling_of_an_entry_is_refused(spelling: object) -> None:
    """Bytes that mean the same but are not canonical are reported, with a fitting hash or not."""
    assert callable(spelling)
    data = spelling(WHOLE[3].data)
    with pytest.raises(TamperedError) as caught:
        verify([*WHOLE[:3], Stored(3, data, leaf_hash(data))])
    assert caught.value.seq == 3


def test_text_beyond_ascii_is_whole() -> None:
    """Entries with text beyond ASCII verify as any other."""
    data = encode(
        samples.event(entity="Jürgen 🏥"),
        Position("ward", 0, "2026-01-31T09:30:00.123Z", samples.BOOT, 0, bytes(32)),
    )
    assert verify([Stored(0, data, leaf_hash(data))]).size == 1


def test_recomputed_chain_is_not_caught() -> None:
    """A chain alone cannot see a change after which every hash was made anew: it says so here."""
    changed = reworded(WHOLE[3], entity="msg_x")
    assert verify([*WHOLE[:3], changed, *chained(4, 4, changed.leaf)]).size == 8
