"""What is read from a medium, and the one thing that is written to it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from appliance.bundles.manifest import VerifiedTarget
from appliance.bundles.media import Medium, leave_checkpoint, pour
from appliance.bundles.pipeline import BLOCK, Pipeline
from appliance.bundles.refusals import ContentError, LayoutError


def put(bundle: Path, data: bytes, length: int | None = None) -> VerifiedTarget:
    """Write a file of a bundle; return it as signed with `length` bytes."""
    signed = hashlib.sha256(data).hexdigest()
    target = VerifiedTarget("m-1/file.gguf", length or len(data), signed, "weights")
    path = bundle / "targets" / target.stored_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return target


def test_small_file_is_read_whole(tmp_path: Path) -> None:
    """A file with the signed length and digest is returned as it is."""
    target = put(tmp_path, b"content")
    with Medium.open(tmp_path) as medium:
        assert medium.read(target) == b"content"


@pytest.mark.parametrize("length", [6, 8])
def test_small_file_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    """A byte too many or too few is a refusal."""
    target = put(tmp_path, b"content", length)
    with Medium.open(tmp_path) as medium, pytest.raises(ContentError, match="were signed"):
        medium.read(target)


def test_stream_reaches_every_worker_in_order(tmp_path: Path) -> None:
    """Several workers see the same bytes, over many blocks, and progress adds up to the length."""
    data = os.urandom(3 * BLOCK + 17)
    target = put(tmp_path, data)
    digests = [hashlib.sha256(), hashlib.sha256()]
    done: list[int] = []
    with (
        Medium.open(tmp_path) as medium,
        Pipeline([d.update for d in digests]) as pipeline,
        medium.opened(target) as source,
    ):
        pour(source, target, pipeline, done.append)
    assert [d.hexdigest() for d in digests] == [target.sha256] * 2
    assert sum(done) == len(data)


def test_stream_goes_on_from_where_it_was_told(tmp_path: Path) -> None:
    """Bytes that were read before are not read again."""
    target = put(tmp_path, b"before-after")
    digest = hashlib.sha256()
    with (
        Medium.open(tmp_path) as medium,
        Pipeline([digest.update]) as pipeline,
        medium.opened(target) as source,
    ):
        pour(source, target, pipeline, lambda count: None, skip=7)
    assert digest.hexdigest() == hashlib.sha256(b"after").hexdigest()


def test_worker_that_fails_ends_the_stream(tmp_path: Path) -> None:
    """What a worker raises reaches whoever reads, and nothing hangs."""
    target = put(tmp_path, bytes(40 * BLOCK))

    def full(data: memoryview) -> None:
        raise OSError("no room")

    def read() -> None:
        with (
            Medium.open(tmp_path) as medium,
            Pipeline([full]) as pipeline,
            medium.opened(target) as source,
        ):
            pour(source, target, pipeline, lambda count: None)

    with pytest.raises(OSError, match="no room"):
        read()


def test_reader_that_fails_stops_the_workers(tmp_path: Path) -> None:
    """An error of the reader is the one that is raised, and the workers end."""

    def read() -> None:
        with Pipeline([lambda data: None]) as pipeline:
            pipeline.room()[:3] = b"abc"
            pipeline.pass_on(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read()


def test_returns_may_lie_on_a_medium_and_nothing_else(tmp_path: Path) -> None:
    """`returns/` is no stray folder; any other is."""
    put(tmp_path, b"x")
    (tmp_path / "returns").mkdir()
    with Medium.open(tmp_path) as medium:
        assert len(medium.files()) == 1
    (tmp_path / "System Volume Information").mkdir()
    with Medium.open(tmp_path) as medium, pytest.raises(LayoutError, match="was not signed"):
        medium.files()


def test_checkpoint_is_left_and_replaced(tmp_path: Path) -> None:
    """The newest checkpoint replaces the one of before, and nothing else stays."""
    leave_checkpoint(tmp_path, "log.checkpoint", b"old")
    leave_checkpoint(tmp_path, "log.checkpoint", b"new")
    assert [path.name for path in (tmp_path / "returns").iterdir()] == ["log.checkpoint"]
    assert (tmp_path / "returns" / "log.checkpoint").read_bytes() == b"new"


def test_checkpoint_follows_no_link(tmp_path: Path) -> None:
    """Links that a hostile medium laid out lead nowhere: not the folder's, not the file's."""
    outside = tmp_path / "outside"
    outside.mkdir()
    victim = outside / "victim"
    victim.write_text("mine")
    bundle = tmp_path / "bundle"
    (bundle / "returns").mkdir(parents=True)
    for name in ("log.checkpoint", ".log.checkpoint.new"):
        (bundle / "returns" / name).symlink_to(victim)
    leave_checkpoint(bundle, "log.checkpoint", b"new")
    assert victim.read_text() == "mine"
    other = tmp_path / "other"
    other.mkdir()
    (other / "returns").symlink_to(outside)
    with pytest.raises(OSError, match="returns"):
        leave_checkpoint(other, "log.checkpoint", b"new")
    assert [path.name for path in outside.iterdir()] == ["victim"]


def test_checkpoint_waits_for_no_fifo(tmp_path: Path) -> None:
    """A FIFO in the place of the file is replaced, never opened."""
    (tmp_path / "returns").mkdir()
    os.mkfifo(tmp_path / "returns" / "log.checkpoint")
    leave_checkpoint(tmp_path, "log.checkpoint", b"new")
    assert (tmp_path / "returns" / "log.checkpoint").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a/b", "x" * 201, "a\nb"])
def test_checkpoint_has_a_plain_name(tmp_path: Path, name: str) -> None:
    """Any other name is refused before anything is written."""
    with pytest.raises(ValueError, match="plain"):
        leave_checkpoint(tmp_path, name, b"new")
    assert list(tmp_path.iterdir()) == []
