"""A record of several tiles, checkpoints and an unsigned tail: which entry is named, and when."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance.audit.verify import verify_file
from appliance.errors import TamperedError
from tests.unit.audit import samples

# Checkpoints cover 1,000, 1,300 and 1,700 entries; those up to 2,100 are covered by none. Tiles
# end at 1,536 (within what is signed), 1,792 (half of it is) and 2,048 (nothing of it is).
SIGNED, COUNT = 1_700, 2_100


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record that no test changes."""
    folder = tmp_path_factory.mktemp("tiles")
    log = samples.opened(samples.make(folder))
    for size in (1_000, 1_300, SIGNED):
        log.append_many([samples.event(n) for n in range(log.head().size, size)])
        log.checkpoint()
    log.append_many([samples.event(n) for n in range(SIGNED, COUNT)])
    copy = samples.snapshot(log.path, folder / "copy.db")
    log.close()
    return copy


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may attack."""
    return Path(shutil.copy(whole, tmp_path / "audit.db"))


def found(path: Path) -> TamperedError:
    with pytest.raises(TamperedError) as caught:
        verify_file(path)
    return caught.value


def test_whole_record_states_how_far_it_is_signed(whole: Path) -> None:
    """What is signed and what is vouched for elsewhere are told apart."""
    verified = verify_file(whole)
    assert (verified.entries, verified.signed, verified.anchored) == (COUNT, SIGNED, 0)


@pytest.mark.parametrize(
    "seq",
    [0, 1, 255, 256, 999, 1_000, 1_299, 1_535, 1_536, 1_698, 1_699, 1_700, 1_791, 1_792, 2_047,
     2_048, 2_098, 2_099],
)  # fmt: skip
def test_changed_entry_is_named(copy: Path, seq: int) -> None:
    """An entry that alone was changed is named, wherever checkpoints and tiles end."""
    samples.reword(copy, seq, purpose="research")
    assert found(copy).seq == seq


@pytest.mark.parametrize("seq", [0, 255, 1_000, 1_699, 1_700, 1_791, 2_099])
def test_removed_entry_is_named(copy: Path, seq: int) -> None:
    """An entry that is gone is named."""
    samples.attack(copy, ("DELETE FROM entries WHERE seq = ?", (seq,)))
    assert found(copy).seq == seq


@pytest.mark.parametrize(
    ("seq", "named"), [(0, 0), (999, 0), (1_000, 1_000), (1_298, 1_000), (1_300, 1_300)]
)
def test_rewritten_prefix_is_named_by_its_checkpoint(copy: Path, seq: int, named: int) -> None:
    """With every hash made anew, the first entry that no good checkpoint covers is named."""
    samples.rewrite(copy, seq, purpose="research")
    error = found(copy)
    assert error.seq == named
    assert "checkpoint" in error.what


def test_rewritten_tail_is_not_caught_without_a_signature(copy: Path) -> None:
    """What no checkpoint covers yet is held by the chain alone: it says so here."""
    samples.rewrite(copy, SIGNED, purpose="research")
    assert verify_file(copy).signed == SIGNED


@pytest.mark.parametrize(
    ("index", "byte"),
    [(index, byte) for index in range(COUNT // 256) for byte in (0, 4_000, 8_191)],
)
def test_changed_tile_is_found(copy: Path, index: int, byte: int) -> None:
    """One flipped bit in a tile is reported at its entry, signed or not."""
    tiles = dict(samples.read(copy, "SELECT idx, hashes FROM tiles"))
    changed = bytearray(tiles[index])
    changed[byte] ^= 1
    samples.attack(copy, ("UPDATE tiles SET hashes = ? WHERE idx = ?", (bytes(changed), index)))
    assert found(copy).seq == index * 256 + byte // 32


@pytest.mark.parametrize("index", [0, 5, 6, 7])
def test_missing_tile_is_found(copy: Path, index: int) -> None:
    """A tile that is gone is reported at its first entry."""
    samples.attack(copy, ("DELETE FROM tiles WHERE idx = ?", (index,)))
    assert found(copy).seq == index * 256


@pytest.mark.parametrize("bad", [b"", bytes(8_191), bytes(8_193)])
def test_tile_of_a_wrong_length_is_found(copy: Path, bad: bytes) -> None:
    """A tile is 8,192 bytes."""
    samples.attack(copy, ("UPDATE tiles SET hashes = ? WHERE idx = 2", (bad,)))
    assert found(copy).seq == 512


def test_dropped_checkpoint_moves_what_is_signed(copy: Path) -> None:
    """Without its newest checkpoint a record is whole, but less of it is signed."""
    samples.attack(copy, ("DELETE FROM checkpoints WHERE size = ?", (SIGNED,)))
    assert verify_file(copy).signed == 1_300


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"v": 2}, "fields of an entry"),
        ({"seq": 1}, "says that it is entry 1"),
        ({"log": "other"}, "another log"),
        ({"action": "answer.invent"}, "closed list"),
    ],
)
def test_tail_is_checked_field_by_field(copy: Path, changes: dict[str, object], what: str) -> None:
    """An impossible statement in the tail is found, with every hash made anew."""
    samples.rewrite(copy, 1_800, **changes)
    error = found(copy)
    assert error.seq == 1_800
    assert what in error.what


@pytest.mark.parametrize("data", [b"no", b"[]", b"{}", b'{"action":"record.epoch"}', b"\xff"])
@pytest.mark.parametrize("seq", [0, SIGNED - 1, SIGNED, COUNT - 1])
def test_garbage_in_place_of_an_entry_is_found(copy: Path, seq: int, data: bytes) -> None:
    """Bytes that are no entry at all give a finding, never a stack trace."""
    samples.attack(copy, ("UPDATE entries SET entry = ? WHERE seq = ?", (data, seq)))
    assert found(copy).seq == seq


def test_newest_checkpoints_that_were_taken_away_are_missed(copy: Path) -> None:
    """One is stored for every thousand entries, so what is unsigned for longer was not left so."""
    samples.attack(copy, ("DELETE FROM checkpoints", ()))
    caught = found(copy)
    assert caught.seq == 0
    assert "taken away" in caught.what
