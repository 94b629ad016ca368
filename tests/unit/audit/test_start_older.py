"""A start over an older or shortened record, or one that does not fit what lies beside it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.checkpoint import Checkpoint, SignedCheckpoint, Signer
from appliance.audit.log import Log
from appliance.audit.verify import verify_file
from appliance.errors import ApplianceError, BadInputError, TamperedError, VerificationError
from tests.unit.audit import samples

FIRST, COUNT = 300, 600


class Moments:
    """The same record at two moments of one day, and a day later, each with what lay beside it."""

    def __init__(self, folder: Path) -> None:
        self.clock = samples.SetClock()
        path = samples.make(folder, FIRST, self.clock)
        self.older = self._kept(path, folder / "older")
        log = samples.opened(path, clock=self.clock)
        log.append_many([samples.event(n) for n in range(FIRST, COUNT)])
        log.checkpoint()
        log.append_many([samples.event(n) for n in range(10)])
        self.unsigned = samples.snapshot(path, folder / "unsigned.db")
        log.close()
        self.newer = self._kept(path, folder / "newer")
        self.clock.go(86_400)
        log = samples.opened(path, clock=self.clock)
        log.append(samples.event())
        log.close()
        self.next_day = self._kept(path, folder / "next_day")

    def _kept(self, path: Path, to: Path) -> Path:
        to.mkdir()
        for name in ("audit.keys", "audit.anchors"):
            shutil.copytree(path.with_name(name), to / name)
        shutil.copy(path, to / "audit.db")
        return to


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> Moments:
    """States of one record that no test changes."""
    return Moments(tmp_path_factory.mktemp("moments"))


@pytest.fixture
def state(moments: Moments, tmp_path: Path) -> Path:
    """The record as it was in the evening, to be changed."""
    shutil.copytree(moments.newer, tmp_path / "state")
    return tmp_path / "state"


def refused(state: Path, moments: Moments) -> ApplianceError:
    before = (state / "audit.db").read_bytes()
    with pytest.raises(ApplianceError) as caught:
        samples.opened(state / "audit.db", clock=moments.clock)
    assert (state / "audit.db").read_bytes() == before
    return caught.value


def test_each_moment_starts(moments: Moments, tmp_path: Path) -> None:
    """Every state with all that belongs to it can be opened, and goes on."""
    for number, kept in enumerate((moments.older, moments.newer, moments.next_day)):
        state = tmp_path / str(number)
        shutil.copytree(kept, state)
        log = samples.opened(state / "audit.db", clock=moments.clock)
        log.append(samples.event())
        log.close()
        verify_file(state / "audit.db")


def test_tail_that_no_checkpoint_covers_is_signed_at_start(state: Path, moments: Moments) -> None:
    """After a crash, what was recorded but not signed yet is verified, and then signed."""
    shutil.copy(moments.unsigned, state / "audit.db")
    shutil.rmtree(state / "audit.anchors")
    assert verify_file(state / "audit.db").signed == COUNT
    samples.opened(state / "audit.db", clock=samples.SetClock()).close()
    assert verify_file(state / "audit.db").signed == COUNT + 10


@pytest.mark.parametrize("seq", [COUNT, COUNT + 4, COUNT + 9])
def test_changed_tail_refuses_the_start(state: Path, moments: Moments, seq: int) -> None:
    """What came after the newest checkpoint is verified entry by entry."""
    shutil.copy(moments.unsigned, state / "audit.db")
    shutil.rmtree(state / "audit.anchors")
    samples.reword(state / "audit.db", seq, purpose="research")
    error = refused(state, moments)
    assert isinstance(error, TamperedError)
    assert error.seq == seq


def test_cut_tail_refuses_the_start(state: Path, moments: Moments) -> None:
    """Entries cut off below the newest checkpoint are missed, head and all made to fit."""
    shutil.copy(moments.older / "audit.db", state / "audit.db")
    error = refused(state, moments)
    assert isinstance(error, TamperedError)
    assert error.seq == FIRST
    assert "newest.checkpoint" in error.what
    assert "older copy" in error.hint


def test_cut_entries_refuse_the_start(state: Path, moments: Moments) -> None:
    """Entries that are gone while their checkpoint is there are named."""
    samples.attack(state / "audit.db", ("DELETE FROM entries WHERE seq >= ?", (COUNT - 5,)))
    error = refused(state, moments)
    assert isinstance(error, TamperedError)
    assert error.seq == COUNT - 5


def test_older_copy_with_a_newer_key_refuses_the_start(state: Path, moments: Moments) -> None:
    """Yesterday's record with today's key is recognised, even without its checkpoint."""
    shutil.rmtree(state / "audit.anchors")
    shutil.rmtree(state / "audit.keys")
    shutil.copytree(moments.next_day / "audit.keys", state / "audit.keys")
    error = refused(state, moments)
    assert isinstance(error, TamperedError)
    assert "older copy of the record" in error.what
    assert (state / "audit.keys" / "1.key").exists()


def test_whole_older_state_is_caught_by_an_anchor_elsewhere(
    moments: Moments, tmp_path: Path
) -> None:
    """Record, keys and checkpoint of the morning fit each other; a copy elsewhere tells."""
    shutil.copytree(moments.older, tmp_path / "state")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(
        moments.newer / "audit.anchors" / "newest.checkpoint", elsewhere / "evening.checkpoint"
    )
    settings = replace(samples.SETTINGS, anchor_folders=(str(elsewhere),))
    with pytest.raises(TamperedError) as caught:
        Log(tmp_path / "state" / "audit.db", moments.clock, samples.BOOT, settings)
    assert caught.value.seq == FIRST


def test_other_logs_anchors_are_ignored(state: Path, moments: Moments) -> None:
    """A checkpoint of another log in the same folder says nothing of this one."""
    other = Signer("other/log", Ed25519PrivateKey.generate())
    note = other.sign(Checkpoint("other/log", 10**6, bytes(32))).note()
    (state / "audit.anchors" / "other.checkpoint").write_text(note)
    samples.opened(state / "audit.db", clock=moments.clock).close()


@pytest.mark.parametrize("data", [b"", b"x", b"\xff\xfe", b"ward\n1\nAAAA\n\n"])
def test_unreadable_anchor_refuses_the_start(state: Path, moments: Moments, data: bytes) -> None:
    """Garbling a checkpoint is not as good as removing it."""
    (state / "audit.anchors" / "newest.checkpoint").write_bytes(data)
    error = refused(state, moments)
    assert isinstance(error, BadInputError)
    assert "newest.checkpoint" in error.message


def test_anchor_of_another_key_refuses_the_start(state: Path, moments: Moments) -> None:
    """A checkpoint of this log that its key did not sign is a finding."""
    path = state / "audit.anchors" / "newest.checkpoint"
    point = SignedCheckpoint.parse(path.read_text()).checkpoint
    forger = Signer(samples.ORIGIN, Ed25519PrivateKey.generate())
    path.write_text(forger.sign(point).note())
    error = refused(state, moments)
    assert isinstance(error, TamperedError)
    assert "newest.checkpoint" in error.what


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE checkpoints SET note = replace(note, '— ', '—  ')",
        "UPDATE checkpoints SET note = (SELECT note FROM checkpoints)",
        "UPDATE tiles SET hashes = zeroblob(8192) WHERE idx = 1",
        "UPDATE tiles SET hashes = x'00' WHERE idx = 1",
        "UPDATE head SET frontier = zeroblob(length(frontier))",
        "UPDATE head SET leaf = zeroblob(32)",
        "UPDATE epochs SET key = replace(key, '+', '+0')",
    ],
)
def test_what_the_start_goes_on_from_is_verified(
    state: Path, moments: Moments, statement: str
) -> None:
    """The newest checkpoint, the tiles under it, the head and the keys must hold."""
    samples.attack(state / "audit.db", (statement, ()))
    error = refused(state, moments)
    assert isinstance(error, TamperedError)


def test_key_that_others_can_read_refuses_the_start(state: Path, moments: Moments) -> None:
    """A private key that was readable by others may be in other hands: somebody must be told."""
    (state / "audit.keys" / "0.key").chmod(0o440)
    error = refused(state, moments)
    assert isinstance(error, VerificationError)
    assert "chmod 0400" in error.hint


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(33), bytes(32)])
def test_key_that_is_another_refuses_the_start(state: Path, moments: Moments, raw: bytes) -> None:
    """A key that does not belong to the record signs nothing."""
    key = state / "audit.keys" / "0.key"
    key.unlink()
    key.write_bytes(raw)
    key.chmod(0o400)
    assert isinstance(refused(state, moments), VerificationError)


def test_missing_key_refuses_the_start(state: Path, moments: Moments) -> None:
    """Without its key a record cannot be signed, and is not opened."""
    shutil.rmtree(state / "audit.keys")
    error = refused(state, moments)
    assert isinstance(error, TamperedError)
    assert "missing" in error.what


def test_refused_start_changes_nothing_beside_the_record(state: Path, moments: Moments) -> None:
    """Keys and checkpoints are as they were after a refused start."""
    shutil.copy(moments.older / "audit.db", state / "audit.db")
    before = {path: path.read_bytes() for path in state.glob("*/*")}
    refused(state, moments)
    assert {path: path.read_bytes() for path in state.glob("*/*")} == before
    assert len(before) == 2
