"""Proving through the ledger's socket: checkpoints, receipts, hand-overs, growth, letting go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit import merkle
from appliance.audit.checkpoint import SignedCheckpoint, VerifierKey
from appliance.audit.client import LedgerClient
from appliance.audit.entry import Agent
from appliance.audit.proof import TlogProof
from appliance.errors import BadInputError, ConflictError, NotFoundError, VerificationError
from tests.simulators.ledger_service import LedgerService
from tests.unit.audit import samples

COUNT = 600
AUDITOR = Agent("usr_a", "auditor", "password")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerService]:
    """A ledger process over a record of 600 entries of another day."""
    folder = tmp_path_factory.mktemp("proofs")
    running = LedgerService(samples.make(folder, COUNT), folder / "ledger.sock").start()
    yield running
    running.stop()


@pytest.fixture
def client(service: LedgerService) -> Iterator[LedgerClient]:
    """A client of it."""
    connected = LedgerClient(service.socket)
    yield connected
    connected.close()


def test_checkpoint_covers_what_was_just_appended(client: LedgerClient) -> None:
    """The checkpoint that is asked for covers the newest entry, under the newest key."""
    seq = client.append(samples.event()).seq
    signed = SignedCheckpoint.parse(client.checkpoint())
    keys = client.keys()
    assert signed.verify(VerifierKey.parse(keys[-1].key)).size == seq + 1
    assert [key.number for key in keys] == list(range(len(keys)))


def test_receipt_proves_its_entry(client: LedgerClient) -> None:
    """A receipt holds the entry that was recorded, and proves it under the newest key."""
    receipt = client.append(samples.event(entity="msg_proved"))
    proof = TlogProof.parse(client.prove(receipt.seq))
    proof.verify(VerifierKey.parse(client.keys()[-1].key))
    assert samples.leaf(proof.entry) == receipt.leaf
    assert b"msg_proved" in proof.entry


def test_hand_over_proves_the_next_key_under_the_one_before(client: LedgerClient) -> None:
    """The day's hand-over states the new key, under a checkpoint of the old one."""
    client.append(samples.event())
    first, second = client.keys()[:2]
    proof = TlogProof.parse(client.handover(1))
    proof.verify(VerifierKey.parse(first.key))
    assert second.key.encode() in proof.entry
    assert (proof.seq, second.seq) == (COUNT, COUNT)


def test_growth_is_proved(client: LedgerClient) -> None:
    """Two checkpoints are shown to be of one record that only grew."""
    older = SignedCheckpoint.parse(client.checkpoint()).checkpoint
    client.append(samples.event())
    note = client.checkpoint()
    newer = SignedCheckpoint.parse(note).checkpoint
    proof = client.consistency(older.size, note)
    merkle.verify_consistency(older.size, newer.size, proof, older.root, newer.root)


def test_proof_of_what_is_not_there_is_refused(client: LedgerClient) -> None:
    """An entry, a hand-over or a size that is not in the record has no proof."""
    note = client.checkpoint()
    size = client.head().size
    with pytest.raises(NotFoundError):
        client.prove(size)
    with pytest.raises(NotFoundError):
        client.handover(7)
    with pytest.raises(BadInputError):
        client.consistency(size + 1, note)
    with pytest.raises(BadInputError):
        client.consistency(1, note.replace(samples.ORIGIN, "other"))
    with pytest.raises(VerificationError):
        client.consistency(1, note.replace(f"\n{size}\n", f"\n{size - 1}\n", 1))


def test_pruning_lets_go_and_is_stated(client: LedgerClient) -> None:
    """Through the socket too, only whole tiles go, and the record says who let them go."""
    with pytest.raises(BadInputError, match="below 100"):
        client.prune(100, AUDITOR, None, "test")
    assert client.prune(256, AUDITOR, "10.0.0.1", "retention of 10 years") == 256
    verified = client.verify()
    assert (verified.pruned, verified.first_t is not None) == (256, True)
    with pytest.raises(NotFoundError):
        client.prove(255)
    assert TlogProof.parse(client.prove(256)).seq == 256


def test_empty_record_has_no_checkpoint(tmp_path: Path) -> None:
    """Nothing can be signed before something was recorded."""
    log = samples.opened(samples.make(tmp_path))
    with pytest.raises(ConflictError):
        log.checkpoint()
    with pytest.raises(ConflictError):
        log.prove(0)
    assert log.keys()[0].opened is None
    log.close()
