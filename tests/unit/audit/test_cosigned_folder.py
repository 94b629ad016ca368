"""What witnesses signed, handed to the ledger by whoever may call it, and what it refuses."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance import durable
from appliance.audit.checkpoint import COSIGNATURE, Checkpoint, SignedCheckpoint, Signer
from appliance.audit.client import LedgerClient
from appliance.audit.cosigned_folder import MOST_OTHERS
from appliance.audit.ledger import Ledger
from appliance.audit.log import Log
from appliance.errors import BadInputError, ConflictError, VerificationError
from tests.simulators.ledger_service import LedgerService
from tests.unit.audit import samples

WITNESS = Signer("w1", Ed25519PrivateKey.generate(), COSIGNATURE)
KEY = str(WITNESS.key)
TIME = 1_769_850_000


def cosigned(note: str, by: Signer = WITNESS) -> str:
    signed = SignedCheckpoint.parse(note)
    return signed.with_signatures([by.cosign(signed.checkpoint, TIME)]).note()


@pytest.fixture(params=["in its process", "through its socket"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger with five entries, called in both ways that there are."""
    path = samples.make(tmp_path, 5)
    if request.param == "in its process":
        log = samples.opened(path)
        yield log
        log.close()
        return
    service = LedgerService(path, tmp_path / "s").start()
    client = LedgerClient(tmp_path / "s")
    yield client
    client.close()
    service.stop()


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "audit.anchors").glob("witness-*"))


def test_what_was_signed_is_kept_beside_the_record(ledger: Ledger, tmp_path: Path) -> None:
    """Byte for byte, and told again to whoever asks."""
    assert ledger.cosigned(KEY) == ""
    note = cosigned(ledger.checkpoint())
    ledger.keep(note, KEY)
    assert ledger.cosigned(KEY) == note
    assert (tmp_path / "audit.anchors" / "witness-w1.checkpoint").read_text() == note


def test_an_older_answer_does_not_replace_a_newer_one(ledger: Ledger) -> None:
    """Or what came since could be taken away unseen."""
    older = cosigned(ledger.checkpoint())
    ledger.append(samples.event())
    newer = cosigned(ledger.checkpoint())
    ledger.keep(newer, KEY)
    with pytest.raises(ConflictError):
        ledger.keep(older, KEY)
    assert ledger.cosigned(KEY) == newer


def test_what_the_witness_did_not_sign_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    """The record's own signature is not enough, and neither is another witness's."""
    other = Signer("w1", Ed25519PrivateKey.generate(), COSIGNATURE)
    for note in (ledger.checkpoint(), cosigned(ledger.checkpoint(), other)):
        with pytest.raises(VerificationError):
            ledger.keep(note, KEY)
    assert kept(tmp_path) == []


def test_what_this_record_does_not_contain_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    """A note that the log did not sign, and one of another log, would stop the next start."""
    point = SignedCheckpoint.parse(ledger.checkpoint()).checkpoint
    forger = Signer(samples.ORIGIN, Ed25519PrivateKey.generate())
    for false in (replace(point, root=bytes(32)), replace(point, size=point.size + 1)):
        with pytest.raises(VerificationError):
            ledger.keep(cosigned(forger.sign(false).note()), KEY)
    elsewhere = Signer("other", Ed25519PrivateKey.generate())
    with pytest.raises(BadInputError):
        ledger.keep(cosigned(elsewhere.sign(Checkpoint("other", 1, bytes(32))).note()), KEY)
    assert kept(tmp_path) == []


def test_a_key_that_is_no_witnesses_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    """The record's own key would vouch for itself; and what is no key at all is said."""
    with pytest.raises(BadInputError, match="not the key of a witness"):
        ledger.keep(ledger.checkpoint(), ledger.keys()[-1].key)
    with pytest.raises(BadInputError, match="not a verifier key"):
        ledger.keep(cosigned(ledger.checkpoint()), "")
    assert kept(tmp_path) == []


def test_few_witnesses_are_kept_beside_the_one_that_counts(tmp_path: Path) -> None:
    """Whoever may call the ledger cannot fill its disk; its own witness always has room."""
    settings = replace(samples.SETTINGS, witness_key=KEY)
    log = Log(samples.make(tmp_path, 5), samples.SameDay(), samples.BOOT, settings)
    try:
        for number in range(MOST_OTHERS + 1):
            other = Signer(f"other{number}", Ed25519PrivateKey.generate(), COSIGNATURE)
            note = cosigned(log.checkpoint(), other)
            if number == MOST_OTHERS:
                with pytest.raises(ConflictError, match="kept already"):
                    log.keep(note, str(other.key))
            else:
                log.keep(note, str(other.key))
        log.keep(cosigned(log.checkpoint()), KEY)
        log.keep(cosigned(log.checkpoint()), KEY)
    finally:
        log.close()
    assert len(kept(tmp_path)) == MOST_OTHERS + 1


@pytest.mark.parametrize("name", ["w/1", "w-1", "-w/1"])
def test_nobody_takes_the_place_of_the_witness_that_counts(tmp_path: Path, name: str) -> None:
    """Not by its name, nor by one that becomes the same file's name."""
    pinned = Signer("w/1", Ed25519PrivateKey.generate(), COSIGNATURE)
    settings = replace(samples.SETTINGS, witness_key=str(pinned.key))
    log = Log(samples.make(tmp_path, 5), samples.SameDay(), samples.BOOT, settings)
    try:
        counts = cosigned(log.checkpoint(), pinned)
        log.keep(counts, str(pinned.key))
        log.append(samples.event())
        other = Signer(name, Ed25519PrivateKey.generate(), COSIGNATURE)
        with pytest.raises(ConflictError, match="has this name"):
            log.keep(cosigned(log.checkpoint(), other), str(other.key))
        assert log.cosigned(str(pinned.key)) == counts
    finally:
        log.close()


def test_a_forked_record_keeps_nothing_of_its_other_half(tmp_path: Path) -> None:
    """Both halves are signed with one key; what a witness saw of one is not in the other."""
    (tmp_path / "a").mkdir()
    samples.make(tmp_path / "a", 5)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    one, other = (samples.opened(tmp_path / name / "audit.db") for name in ("a", "b"))
    try:
        one.append(samples.event(7))
        other.append(samples.event(8))
        with pytest.raises(VerificationError, match="not those that the witness saw"):
            other.keep(cosigned(one.checkpoint()), KEY)
        one.append(samples.event(7))
        with pytest.raises(VerificationError, match="the witness saw 7 entries"):
            other.keep(cosigned(one.checkpoint()), KEY)
    finally:
        one.close()
        other.close()


def test_of_two_that_come_at_once_the_newer_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older one has been looked at, and is being written, when the newer one comes."""
    log = samples.opened(samples.make(tmp_path, 5))
    older = cosigned(log.checkpoint())
    log.append(samples.event())
    newer = cosigned(log.checkpoint())
    writing, go_on = threading.Event(), threading.Event()
    real = durable.write

    def slow(path: Path, data: bytes) -> None:
        if path.name.startswith("witness-") and not writing.is_set():
            writing.set()
            go_on.wait(30)
        real(path, data)

    monkeypatch.setattr(durable, "write", slow)
    first = threading.Thread(target=log.keep, args=(older, KEY))
    first.start()
    assert writing.wait(30)
    second = threading.Thread(target=log.keep, args=(newer, KEY))
    second.start()
    second.join(0.2)  # it either waits, or has written what the first one then replaces
    go_on.set()
    first.join(30)
    second.join(30)
    assert log.cosigned(KEY) == newer
    log.close()
