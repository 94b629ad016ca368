"""What a witness remembers, and that it never signs what it could not remember."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from appliance import durable
from appliance.audit import merkle
from appliance.audit.checkpoint import COSIGNATURE, SignedCheckpoint, VerifierKey, cosigned_at
from appliance.audit.checkpoint import parse_signature as parsed
from appliance.audit.tlog_witness import (
    ADD_CHECKPOINT,
    ADD_KEY,
    AddCheckpoint,
    Step,
)
from appliance.audit.witness_folder import WitnessFolder
from appliance.errors import (
    BadInputError,
    ConflictError,
    DiskFullError,
    NotInitialisedError,
    VerificationError,
)
from tests.simulators.manual_clock import ManualClock
from tests.simulators.tiny_log import ORIGIN, TinyLog, signer


@pytest.fixture
def folder(tmp_path: Path) -> WitnessFolder:
    """A witness with a folder of its own, at a fixed time."""
    return WitnessFolder.create(tmp_path / "w", "witness.example/w1", signer(0).key, ManualClock())


def test_the_signature_is_a_cosignature_with_the_time(folder: WitnessFolder) -> None:
    """It verifies under the witness's key over the checkpoint, and states when."""
    log = TinyLog().grow(3)
    answer = folder.answer(Step(ADD_CHECKPOINT, log.ask(0)))
    line = parsed(answer.text)
    signed = log.signed().with_signatures([line])
    assert signed.verify(folder.key).size == 3
    assert cosigned_at(line) == int(ManualClock().now())
    assert folder.newest() == signed.note()
    assert folder.key.algorithm == COSIGNATURE


def test_the_state_survives_and_a_fork_is_refused_after_a_restart(
    folder: WitnessFolder, tmp_path: Path
) -> None:
    """A new process refuses what the old one would have."""
    folder.answer(Step(ADD_CHECKPOINT, TinyLog().grow(7).ask(0)))
    again = WitnessFolder(tmp_path / "w", ManualClock())
    assert again.key == folder.key
    fork = TinyLog().grow(7, "another")
    assert again.answer(Step(ADD_CHECKPOINT, fork.ask(7))).status == 409
    assert again.answer(Step(ADD_CHECKPOINT, fork.grow(3).ask(7))).status == 422


def test_nothing_is_signed_that_could_not_be_stored(
    folder: WitnessFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full: no signature leaves, and the witness stays where it was."""

    def full(*_arguments: object, **_options: object) -> None:
        raise DiskFullError("the disk is full")

    before = folder.state
    with monkeypatch.context() as patch:
        patch.setattr(durable, "write", full)
        with pytest.raises(DiskFullError):
            folder.answer(Step(ADD_CHECKPOINT, TinyLog().grow(3).ask(0)))
    assert folder.state == before


def test_what_was_suspicious_is_kept_as_evidence(folder: WitnessFolder, tmp_path: Path) -> None:
    """Two checkpoints of one size under the log's own key prove the fork to anybody."""
    folder.answer(Step(ADD_CHECKPOINT, TinyLog().grow(7).ask(0)))
    fork = TinyLog().grow(7, "another").ask(7)
    for _ in range(2):
        folder.answer(Step(ADD_CHECKPOINT, fork))
    [kept] = (tmp_path / "w" / "evidence").iterdir()
    assert kept.read_bytes() == fork


def test_a_stranger_fills_no_disk(folder: WitnessFolder, tmp_path: Path) -> None:
    """Requests that the log did not sign leave nothing behind."""
    before = sorted(path.name for path in (tmp_path / "w").iterdir())
    folder.answer(Step(ADD_CHECKPOINT, TinyLog().grow(7).ask(0, epoch=9)))
    folder.answer(Step(ADD_KEY, b"x"))
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == before


def test_a_wrong_old_size_is_answered_with_the_right_one(folder: WitnessFolder) -> None:
    """In the words that the specification wants."""
    log = TinyLog().grow(7)
    folder.answer(Step(ADD_CHECKPOINT, log.ask(0)))
    answer = folder.answer(Step(ADD_CHECKPOINT, log.grow(1).ask(0)))
    assert (answer.status, answer.media_type, answer.text) == (409, "text/x.tlog.size", "7\n")


def test_key_and_folder_are_for_their_owner_alone(folder: WitnessFolder, tmp_path: Path) -> None:
    """0700 and 0400; a key that others can read is refused."""
    home = tmp_path / "w"
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "witness.key").stat().st_mode & 0o777 == 0o400
    (home / "witness.key").chmod(0o444)
    with pytest.raises(VerificationError, match="read by others"):
        WitnessFolder(home, ManualClock())


def test_a_second_witness_in_the_folder_is_refused(folder: WitnessFolder, tmp_path: Path) -> None:
    """Its key is never replaced."""
    with pytest.raises(ConflictError):
        WitnessFolder.create(tmp_path / "w", "other", signer(0).key, ManualClock())


def test_two_processes_never_share_a_folder(folder: WitnessFolder, tmp_path: Path) -> None:
    """Each would sign what the other has not seen."""
    with (
        folder.held(),
        pytest.raises(ConflictError),
        WitnessFolder(tmp_path / "w", ManualClock()).held(),
    ):
        pass


@pytest.mark.parametrize("name", ["witness.json", "witness.key"])
def test_a_witness_without_its_files_does_not_start(
    folder: WitnessFolder, tmp_path: Path, name: str
) -> None:
    """It would have forgotten how far it saw, or who it is."""
    (tmp_path / "w" / name).unlink()
    with pytest.raises(NotInitialisedError):
        WitnessFolder(tmp_path / "w", ManualClock())


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"name": 1}', "not json"])
def test_a_damaged_state_is_refused(folder: WitnessFolder, tmp_path: Path, text: str) -> None:
    """The witness does not begin anew by itself."""
    (tmp_path / "w" / "witness.json").write_text(text)
    with pytest.raises(VerificationError, match="does not know how far"):
        WitnessFolder(tmp_path / "w", ManualClock())


def test_a_witness_is_made_with_a_records_key(tmp_path: Path) -> None:
    """Another witness's key in its place is a mistake that is told."""
    key = VerifierKey("witness.example/w1", signer(0).key.public, COSIGNATURE)
    with pytest.raises(BadInputError, match="key of a witness"):
        WitnessFolder.create(tmp_path / "w", "w", key, ManualClock())


def test_only_the_logs_signature_is_kept_beside_its_own(folder: WitnessFolder) -> None:
    """Lines of strangers are not stored and not handed on."""
    log = TinyLog().grow(3)
    more = log.signed().with_signatures(log.signed(epoch=9).signatures)
    folder.answer(Step(ADD_CHECKPOINT, AddCheckpoint(0, (), more).body()))
    kept = SignedCheckpoint.parse(folder.newest() or "")
    assert [line.key_id for line in kept.signatures] == [signer(0).key.id, folder.key.id]


def test_the_state_is_plain_json(folder: WitnessFolder, tmp_path: Path) -> None:
    """An auditor can read how far the witness saw."""
    folder.answer(Step(ADD_CHECKPOINT, TinyLog().grow(3).ask(0)))
    value = json.loads((tmp_path / "w" / "witness.json").read_text())
    assert (value["size"], value["epoch"]) == (3, None)
    assert value["key"].startswith(ORIGIN + "+")
    assert base64.b64decode(value["root"]) != merkle.EMPTY_ROOT
