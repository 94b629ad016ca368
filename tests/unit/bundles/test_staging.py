"""Digests of a stream, the notes of a copy, and the staging folder itself."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from appliance.bundles import digesting
from appliance.bundles.digesting import ChunkWorker, Digests, PartWorker, parse_notes, rehash
from appliance.bundles.manifest import VerifiedTarget
from appliance.bundles.refusals import ContentError
from appliance.bundles.staging import Staging
from appliance.bundles.writing import Writer

CHUNK = 64
DATA = bytes(range(256)) * 2


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digesting, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(digesting, "READ_BYTES", 24)


def noted(data: bytes, ends: list[int], step: int = 10) -> tuple[Digests, bytes]:
    """Run data through a chunk worker in small pieces; return digests and notes."""
    digests, lines = Digests(), bytearray()
    worker = ChunkWorker(digests, ends, lines.extend)
    for start in range(0, len(data), step):
        piece = data[start : start + step]
        digests.whole.update(piece)
        worker(memoryview(piece))
    return digests, bytes(lines)


def found(data: bytes, length: int, notes: bytes | None) -> Digests:
    parsed = None if notes is None else parse_notes(notes)
    return rehash(lambda at, count: data[at : at + count], length, parsed)


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK, 4 * CHUNK + 7])
def test_chunks_are_those_of_the_bytes(length: int) -> None:
    """Each chunk has the digest of its bytes, the last one maybe short."""
    digests, _ = noted(DATA[:length], [length])
    wanted = [sha(DATA[at : min(at + CHUNK, length)]) for at in range(0, length, CHUNK)]
    assert digests.all_chunks() == tuple(wanted)


@pytest.mark.parametrize("kept", [0, 50, CHUNK, 100, 150, 300])
def test_hashing_again_goes_as_far_as_the_notes(kept: int) -> None:
    """What was copied and noted is taken up: whole chunks, and the end of a part within one."""
    digests, notes = noted(DATA[:kept], [150, 512])
    again = found(DATA, 512, notes)
    wanted = 150 if kept == 150 else kept // CHUNK * CHUNK
    assert again.position == wanted
    assert again.whole.hexdigest() == sha(DATA[:wanted])
    assert again.chunks == digests.chunks


def test_hashing_goes_on_to_the_same_digests() -> None:
    """A stream that was taken up in the middle ends with the digests of one that was not."""
    _, notes = noted(DATA[:150], [150, 512])
    again = found(DATA, 512, notes)
    rest = DATA[again.position :]
    again.whole.update(rest)
    ChunkWorker(again, [150, 512], lambda line: None)(memoryview(rest))
    straight, _ = noted(DATA, [150, 512])
    assert again.all_chunks() == straight.all_chunks()
    assert again.whole.hexdigest() == sha(DATA)


def test_changed_bytes_end_the_taking_up() -> None:
    """From the first chunk that does not agree with its note nothing is believed."""
    _, notes = noted(DATA, [512])
    changed = bytearray(DATA)
    changed[3 * CHUNK] ^= 1
    assert found(bytes(changed), 512, notes).position == 3 * CHUNK


@pytest.mark.parametrize(
    "notes", [b"", b"garbage\n", b"64 " + b"0" * 64 + b"\n", b"64 zz\n", b"99999999999999999 x\n"]
)
def test_notes_that_are_wrong_are_worth_nothing(notes: bytes) -> None:
    """Notes are claims: empty, torn or false ones lead to reading from the start."""
    assert found(DATA, 512, notes).position == 0


def test_notes_beyond_the_file_are_worth_nothing() -> None:
    """A note that claims more than the file is long is not followed."""
    _, notes = noted(DATA, [512])
    assert found(DATA[:100], 512, notes).position == CHUNK


def test_without_notes_all_is_hashed() -> None:
    """An orphan in the library is hashed to its end."""
    assert found(DATA, 512, None).whole.hexdigest() == sha(DATA)


def parts_of(data: bytes, *lengths: int) -> list[VerifiedTarget]:
    parts, start = [], 0
    for number, length in enumerate(lengths, start=1):
        piece = data[start : start + length]
        path = f"m-1/m.gguf.{number:03}"
        parts.append(VerifiedTarget(path, length, sha(piece), "weights", number))
        start += length
    return parts


@pytest.mark.parametrize("position", [0, 100, 200, 256])
def test_each_part_is_checked_at_its_end(position: int) -> None:
    """Parts read from their beginning must have their digest, whatever the pieces' lengths."""
    parts = parts_of(DATA, 200, 56, 256)
    worker = PartWorker(parts, position)
    for start in range(position, len(DATA), 37):
        worker(memoryview(DATA[start : min(start + 37, len(DATA))]))


def test_wrong_part_is_named() -> None:
    """A changed byte ends the stream at the end of its part."""
    changed = bytearray(DATA)
    changed[210] ^= 1
    worker = PartWorker(parts_of(DATA, 200, 56, 256), 0)
    with pytest.raises(ContentError, match=r"m\.gguf\.002"):
        worker(memoryview(changed))


def test_writer_writes_at_its_place(tmp_path: Path) -> None:
    """Bytes go to where they belong in the file, whatever was there."""
    path = tmp_path / "file"
    path.write_bytes(b"." * 10)
    descriptor = os.open(path, os.O_RDWR)
    writer = Writer(descriptor, 4)
    writer(memoryview(b"ab"))
    writer(memoryview(b"cd"))
    os.close(descriptor)
    assert path.read_bytes() == b"....abcd.."


def test_cleaning_leaves_the_lock(tmp_path: Path) -> None:
    """Everything that staging ever makes goes; the lock and strange files stay."""
    names = ["a.gguf.part", "a.notes", "a.card.part", ".a.card.part.0123abcd.new"]
    for name in [*names, ".import.lock", "README"]:
        (tmp_path / name).touch()
    Staging(tmp_path, tmp_path / "library").clean()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".import.lock", "README"]


@pytest.mark.parametrize("kept", [0, 50, CHUNK, 150, 300])
def test_check_sums_find_what_was_lost(kept: int) -> None:
    """Where chunks have check sums only, a copy is taken up as far as it is undamaged."""
    digests, lines = Digests(digesting.CheckSum), bytearray()
    ChunkWorker(digests, [512], lines.extend)(memoryview(DATA))
    damaged = DATA[:kept] + bytes(len(DATA) - kept)
    again = rehash(
        lambda at, count: damaged[at : at + count], 512, parse_notes(lines), digesting.CheckSum
    )
    assert again.position == kept // CHUNK * CHUNK
    assert again.whole.hexdigest() == sha(DATA[: again.position])
