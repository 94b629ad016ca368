"""Checkpoints kept outside the record: found, held against it, and counted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit import anchors
from appliance.audit.checkpoint import COSIGNATURE, Checkpoint, SignedCheckpoint, Signer
from appliance.audit.verify import verify_file
from appliance.errors import BadInputError, TamperedError
from tests.unit.audit import samples

SIZES = (100, 256, 700)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record with checkpoints over 100, 256 and 700 entries, and 50 more that none covers."""
    folder = tmp_path_factory.mktemp("whole")
    log = samples.opened(samples.make(folder))
    for size in SIZES:
        samples.fill(log, size - log.head().size)
        (folder / f"{size}.note").write_text(log.checkpoint())
    samples.fill(log, 50)
    samples.snapshot(log.path, folder / "copy.db")
    (folder / "750.note").write_text(log.checkpoint())
    log.close()
    return folder


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """A copy of the record alone."""
    return Path(shutil.copy(whole / "copy.db", tmp_path / "audit.db"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder elsewhere, such as a stick."""
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def put(whole: Path, size: int, to: Path) -> None:
    to.parent.mkdir(exist_ok=True)
    shutil.copy(whole / f"{size}.note", to)


@pytest.mark.parametrize("sizes", [[100], [256], [700], [100, 256, 700], [750], [750, 100]])
def test_largest_anchor_counts(whole: Path, path: Path, folder: Path, sizes: list[int]) -> None:
    """The record says how much of it a checkpoint elsewhere vouches for, signed here or not."""
    for size in sizes:
        put(whole, size, folder / f"{size}.checkpoint")
    assert verify_file(path, samples.places(path, folder)).anchored == max(sizes)
    assert verify_file(path, samples.places(path, folder), processes=2).anchored == max(sizes)
    assert verify_file(path).anchored == 0


def test_copy_beside_the_record_does_not_count_as_elsewhere(whole: Path, path: Path) -> None:
    """The ledger's own newest checkpoint must hold, but vouches for nothing."""
    put(whole, 700, path.with_name("audit.anchors") / "newest.checkpoint")
    assert verify_file(path).anchored == 0
    beside = path.with_name("audit.anchors")
    put(whole, 256, beside / "printed.checkpoint")
    assert verify_file(path).anchored == 0


def test_what_a_witness_signed_counts_beside_the_record(whole: Path, path: Path) -> None:
    """The witness's key is not on this machine, so its co-signature cannot have been made here."""
    witness = Signer("witness", Ed25519PrivateKey.generate(), COSIGNATURE)
    other = Signer("witness", Ed25519PrivateKey.generate(), COSIGNATURE)
    beside = path.with_name("audit.anchors")
    put(whole, 256, beside / "witness-w.checkpoint")
    note = SignedCheckpoint.parse((beside / "witness-w.checkpoint").read_text())
    cosigned = note.with_signatures([witness.cosign(note.checkpoint, 1_769_850_000)])
    (beside / "witness-w.checkpoint").write_text(cosigned.note())
    for key, vouched in ((witness.key, 256), (other.key, 0), (None, 0)):
        assert verify_file(path, anchors.Places(beside, witness=key)).anchored == vouched


def test_given_anchor_counts(whole: Path, path: Path, tmp_path: Path) -> None:
    """One that is handed over by name is held against the record too."""
    put(whole, 256, tmp_path / "paper.txt")
    assert verify_file(path, given=[anchors.read(tmp_path / "paper.txt")]).anchored == 256


def test_record_shorter_than_its_anchor_is_refused(whole: Path, folder: Path) -> None:
    """What an anchor covers and the record lacks is missing; the anchor is named."""
    put(whole, 750, folder / "a.checkpoint")
    with pytest.raises(TamperedError, match=r"a\.checkpoint") as caught:
        verify_file(short := samples.make(folder, 300), samples.places(short, folder))
    assert caught.value.seq == 300


def test_other_record_of_the_same_name_is_refused(whole: Path, folder: Path) -> None:
    """A record that was made anew under the old name is not the one that was vouched for."""
    put(whole, 256, folder / "a.checkpoint")
    (folder / "new").mkdir()
    other = samples.make(folder / "new", 300)
    with pytest.raises(TamperedError, match=r"a\.checkpoint vouches for"):
        verify_file(other, samples.places(other, folder))


def test_rewritten_record_is_refused(whole: Path, path: Path, folder: Path) -> None:
    """Even with its own checkpoints gone, a rewritten record does not hold against an anchor."""
    put(whole, 256, folder / "a.checkpoint")
    samples.attack(path, ("DELETE FROM checkpoints", ()))
    samples.rewrite(path, 200, purpose="research")
    assert verify_file(path).signed == 0
    with pytest.raises(TamperedError, match="vouches for"):
        verify_file(path, samples.places(path, folder))


def test_anchor_that_the_key_did_not_sign_is_refused(whole: Path, path: Path, folder: Path) -> None:
    """The right root under a wrong signature is a finding, not an anchor."""
    point = SignedCheckpoint.parse((whole / "256.note").read_text()).checkpoint
    forger = Signer(samples.ORIGIN, Ed25519PrivateKey.generate())
    (folder / "a.checkpoint").write_text(forger.sign(point).note())
    with pytest.raises(TamperedError, match="keys are not those"):
        verify_file(path, samples.places(path, folder))


def test_anchor_of_an_empty_record_must_be_empty(path: Path, folder: Path) -> None:
    """A checkpoint over nothing has the root of nothing."""
    forger = Signer(samples.ORIGIN, Ed25519PrivateKey.generate())
    (folder / "a.checkpoint").write_text(
        forger.sign(Checkpoint(samples.ORIGIN, 0, bytes(32))).note()
    )
    with pytest.raises(TamperedError):
        verify_file(path, samples.places(path, folder))


def test_other_files_and_other_logs_do_not_matter(whole: Path, path: Path, folder: Path) -> None:
    """Only `*.checkpoint` of this log are looked at; a folder that is not there has none."""
    (folder / "readme.txt").write_text("x")
    other = Signer("other", Ed25519PrivateKey.generate())
    (folder / "o.checkpoint").write_text(other.sign(Checkpoint("other", 9, bytes(32))).note())
    places = samples.places(path, folder, folder / "missing")
    assert [found for found in places.at_hand(samples.ORIGIN) if found.elsewhere] == []
    assert verify_file(path, samples.places(path, folder, folder / "missing")).anchored == 0


@pytest.mark.parametrize("data", [b"", b"\xff", b"ward\n1\n\n"])
def test_unreadable_anchor_is_an_error(path: Path, folder: Path, data: bytes) -> None:
    """An anchor that cannot be read is named, and not skipped."""
    (folder / "a.checkpoint").write_bytes(data)
    with pytest.raises(BadInputError, match=r"a\.checkpoint"):
        verify_file(path, samples.places(path, folder))


def test_folder_in_place_of_an_anchor_is_an_error(path: Path, folder: Path) -> None:
    """Whatever has the name of an anchor must be one."""
    (folder / "a.checkpoint").mkdir()
    with pytest.raises(BadInputError, match=r"a\.checkpoint"):
        verify_file(path, samples.places(path, folder))


def test_hidden_files_are_no_anchors(whole: Path, path: Path, folder: Path) -> None:
    """Some systems put a file of their own beside each file on a stick."""
    put(whole, 256, folder / "a.checkpoint")
    (folder / "._a.checkpoint").write_bytes(b"\x00\x05\x16\x07")
    assert verify_file(path, samples.places(path, folder)).anchored == 256


def test_folder_that_cannot_be_read_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To take the right to read it away is not as good as to remove what lies in it."""

    whole = os.listdir

    def forbidden(asked: Path) -> list[str]:
        if asked == folder:
            raise PermissionError(13, "Permission denied")
        return whole(asked)

    # Tests may run as root, whom no mode keeps out.
    monkeypatch.setattr(os, "listdir", forbidden)
    with pytest.raises(BadInputError, match="elsewhere cannot be read"):
        samples.places(folder.parent / "audit.db", folder).at_hand(samples.ORIGIN)
