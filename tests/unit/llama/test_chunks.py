"""A file that is compared with the digests of its chunks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.errors import NotFoundError, VerificationError
from appliance.llama import chunks
from appliance.llama.library_view import read_template, verified
from tests.simulators.engine_process import put_model

CHUNK = 1_000
DATA = bytes(range(256)) * 15  # three whole chunks and most of a fourth


def digests_of(data: bytes) -> list[str]:
    parts = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    return [hashlib.sha256(part).hexdigest() for part in parts]


@contextmanager
def opened(path: Path, data: bytes) -> Iterator[int]:
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("data", [DATA, DATA[:3000], DATA[:1], DATA[:1001]])
def test_the_listed_chunks_match(tmp_path: Path, data: bytes) -> None:
    """Whole chunks, and a shorter last one."""
    with opened(tmp_path / "file", data) as descriptor:
        assert chunks.match(descriptor, digests_of(data), chunk_bytes=CHUNK)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        DATA[:-1],
        DATA + b"\0",
        DATA[:3000],
        DATA + DATA[:1000],
        b"\1" + DATA[1:],
        DATA[:-1] + b"\1",
        DATA[1000:2000] + DATA[:1000] + DATA[2000:],
    ],
)
def test_anything_else_does_not_match(tmp_path: Path, data: bytes) -> None:
    """One bit, one byte more or less, chunks in another order, nothing at all."""
    with opened(tmp_path / "file", data) as descriptor:
        assert not chunks.match(descriptor, digests_of(DATA), chunk_bytes=CHUNK)


def test_an_empty_list_matches_nothing(tmp_path: Path) -> None:
    """Not even an empty file."""
    with opened(tmp_path / "file", b"") as descriptor:
        assert not chunks.match(descriptor, (), chunk_bytes=CHUNK)


@pytest.mark.parametrize("data", [b"x", b"\xff" * 64, b"A" * 64, b"a" * 63 + b"\n" + b"a" * 64])
def test_what_is_no_list_lists_nothing(data: bytes) -> None:
    """Only lowercase hex of the right length counts, on every line."""
    assert chunks.parse(data) == ()


def test_weights_are_verified_by_their_list(tmp_path: Path) -> None:
    """The list is believed only while its own digest holds; what it lists must be there."""
    digest = put_model(tmp_path)
    weights, place = tmp_path / f"{digest}.gguf", tmp_path / f"{digest}.chunks"
    listed = f"{digest}\n".encode()  # a small file is one chunk
    place.write_bytes(listed)
    name = hashlib.sha256(listed).hexdigest()
    with verified(tmp_path, digest, name):
        pass
    weights.write_bytes(weights.read_bytes() + b"\0")
    for lines in (listed, f"{hashlib.sha256(weights.read_bytes()).hexdigest()}\n".encode()):
        place.write_bytes(lines)
        with pytest.raises(VerificationError, match="other content"):
            verified(tmp_path, digest, name).__enter__()
    place.unlink()
    with pytest.raises(VerificationError, match="other content"):
        verified(tmp_path, digest, name).__enter__()


def test_a_list_that_is_lost_or_altered_costs_time_only(tmp_path: Path) -> None:
    """The weights are then hashed as a whole."""
    digest = put_model(tmp_path)
    with verified(tmp_path, digest, "c" * 64):
        pass
    (tmp_path / f"{digest}.chunks").write_text("nonsense")
    with verified(tmp_path, digest, "c" * 64):
        pass


def test_a_template_is_the_one_that_was_signed(tmp_path: Path) -> None:
    """Missing, altered, empty, not UTF-8, too long or a link: none is used."""
    text = "{{ messages[0]['content'] }}"

    def put(data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        (tmp_path / f"{name}.template").write_bytes(data)
        return name

    assert read_template(tmp_path, None) is None
    assert read_template(tmp_path, put(text.encode())) == text
    for bad in (b"", b"\xff", b"x" * 262_145):
        with pytest.raises(VerificationError, match="signed"):
            read_template(tmp_path, put(bad))
    with pytest.raises(NotFoundError):
        read_template(tmp_path, "a" * 64)
    good = put(b"other")
    (tmp_path / f"{good}.template").rename(tmp_path / "elsewhere")
    (tmp_path / f"{good}.template").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VerificationError, match="opened"):
        read_template(tmp_path, good)
