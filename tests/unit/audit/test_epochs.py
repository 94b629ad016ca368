"""Which key may sign which checkpoint, and how one key hands over to the next."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.checkpoint import Checkpoint, SignedCheckpoint, Signer, VerifierKey
from appliance.audit.epochs import Epoch, Epochs
from appliance.audit.proof import TlogProof
from appliance.audit.verify import verify_file
from appliance.errors import ApplianceError, BadInputError, TamperedError, VerificationError
from tests.unit.audit import samples

SIGNERS = [
    Signer(samples.ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in range(3)
]
PLACES = (None, 10, 25)
ALL = [Epoch(n, PLACES[n], str(SIGNERS[n].key)) for n in range(3)]


def test_each_size_has_one_key() -> None:
    """The checkpoint that covers a hand-over is the last one under the key before."""
    epochs = Epochs(samples.ORIGIN, ALL)
    numbers = [epochs.at(size).number for size in (0, 1, 10, 11, 12, 25, 26, 27, 1_000)]
    assert numbers == [0, 0, 0, 0, 1, 1, 1, 2, 2]
    assert [epoch.closing for epoch in ALL] == [0, 11, 26]
    assert epochs.current == ALL[2]


@pytest.mark.parametrize("size", [1, 11, 12, 26, 27])
@pytest.mark.parametrize("signer", range(3))
def test_only_the_key_of_its_epoch_signs(size: int, signer: int) -> None:
    """A checkpoint that another epoch's key signed is refused, earlier or later."""
    epochs = Epochs(samples.ORIGIN, ALL)
    note = SIGNERS[signer].sign(Checkpoint(samples.ORIGIN, size, bytes(32))).note()
    if epochs.at(size).number == signer:
        assert epochs.check(note).checkpoint.size == size
    else:
        with pytest.raises(VerificationError):
            epochs.check(note)


def test_checkpoint_of_another_log_is_refused() -> None:
    """The same key under another name is another log."""
    other = Signer("other", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    with pytest.raises(BadInputError, match="another log"):
        Epochs(samples.ORIGIN, ALL).check(other.sign(Checkpoint("other", 5, bytes(32))).note())


@pytest.mark.parametrize(
    "epochs",
    [
        [],
        ALL[1:],
        [ALL[0], ALL[2]],
        [ALL[0], ALL[0]],
        [ALL[0], ALL[2], ALL[1]],
        [replace(ALL[0], seq=0), *ALL[1:]],
        [ALL[0], replace(ALL[1], seq=None)],
        [ALL[0], replace(ALL[1], seq=30), ALL[2]],
        [ALL[0], replace(ALL[1], seq=25), ALL[2]],
        [ALL[0], replace(ALL[1], key="nonsense")],
        [ALL[0], replace(ALL[1], key=str(Signer("other", Ed25519PrivateKey.generate()).key))],
    ],
)
def test_epochs_that_do_not_fit_together_are_refused(epochs: list[Epoch]) -> None:
    """Numbers, places and keys must be a line without a gap."""
    with pytest.raises(TamperedError):
        Epochs(samples.ORIGIN, epochs)


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "record.prune"},
        {"content": None},
        {"content": {}},
        {"content": {"epoch": 2, "key": ALL[1].key, "previous": ALL[0].key}},
        {"content": {"epoch": 1, "key": ALL[2].key, "previous": ALL[0].key}},
        {"content": {"epoch": 1, "key": ALL[1].key, "previous": ALL[1].key}},
        {"content": {"epoch": 1, "key": ALL[1].key, "previous": ALL[0].key, "more": 1}},
    ],
)
def test_hand_over_states_exactly_the_two_keys(changes: dict[str, object]) -> None:
    """The entry of a hand-over names its number, its key and the key before, and nothing else."""
    epochs = Epochs(samples.ORIGIN, ALL)
    good = {"action": "record.epoch", "content": ALL[1].stated(ALL[0])}
    epochs.check_entry(ALL[1], good)
    with pytest.raises(TamperedError) as caught:
        epochs.check_entry(ALL[1], {**good, **changes})
    assert caught.value.seq == 10


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of four days with 30 entries each."""
    clock = samples.SetClock()
    path = samples.make(tmp_path_factory.mktemp("days"), 30, clock)
    log = samples.opened(path, clock=clock)
    for _ in range(3):
        clock.go(86_400)
        samples.fill(log, 30)
    log.close()
    return path


@pytest.fixture
def copy(days: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may attack."""
    return samples.snapshot(days, tmp_path / "audit.db")


def test_each_day_begins_with_its_key(days: Path) -> None:
    """The first entry of a day hands over; its checkpoint is signed by the key before."""
    clock = samples.SetClock(samples.MORNING + 3 * 86_400)
    log = samples.opened(days, clock=clock)
    keys = log.keys()
    assert [(key.number, key.seq) for key in keys] == [(0, None), (1, 30), (2, 61), (3, 92)]
    assert [key.opened[:10] for key in keys if key.opened] == [
        "2026-01-31", "2026-02-01", "2026-02-02", "2026-02-03",
    ]  # fmt: skip
    for before, key in itertools.pairwise(keys):
        proof = TlogProof.parse(log.handover(key.number))
        proof.verify(VerifierKey.parse(before.key))
        stated = json.loads(proof.entry)["content"]
        assert stated == {"epoch": key.number, "key": key.key, "previous": before.key}
        assert proof.signed.checkpoint.size == proof.seq + 1
    newest = SignedCheckpoint.parse(log.checkpoint())
    assert newest.verify(VerifierKey.parse(keys[-1].key)).size == 123
    log.close()
    assert verify_file(days).signed == 123


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM epochs WHERE number = 2",
        "DELETE FROM epochs WHERE number = 3",
        "UPDATE epochs SET seq = 62 WHERE number = 2",
        "UPDATE epochs SET seq = 60 WHERE number = 2",
        "UPDATE epochs SET key = (SELECT key FROM epochs WHERE number = 1) WHERE number = 2",
        "DELETE FROM checkpoints WHERE size = 31",
        "DELETE FROM checkpoints WHERE size = 62",
        "UPDATE checkpoints SET size = 61 WHERE size = 62",
        "INSERT INTO epochs SELECT 4, 100, key FROM epochs WHERE number = 3",
    ],
)
def test_broken_line_of_keys_is_found(copy: Path, statement: str) -> None:
    """A hand-over or its checkpoint that is missing, moved or made up breaks the line."""
    samples.attack(copy, (statement, ()))
    with pytest.raises(TamperedError):
        verify_file(copy)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM checkpoints WHERE size = 31",
        "UPDATE entries SET entry = x'7b7d' WHERE seq = 30",
        "DELETE FROM entries WHERE seq = 61",
    ],
)
def test_broken_line_of_keys_refuses_the_start(days: Path, tmp_path: Path, statement: str) -> None:
    """Every hand-over is looked at before anything is signed with the newest key."""
    shutil.copytree(days.parent, tmp_path / "state")
    path = tmp_path / "state" / "audit.db"
    samples.attack(path, (statement, ()))
    with pytest.raises(TamperedError):
        samples.opened(path, clock=samples.SetClock(samples.MORNING + 3 * 86_400))


def test_todays_key_signs_nothing_of_yesterday(copy: Path) -> None:
    """Who holds today's key and rewrites an older day is found by the older checkpoint."""
    samples.rewrite(copy, 40, purpose="research")
    with pytest.raises(TamperedError) as caught:
        verify_file(copy)
    assert caught.value.seq == 31
    samples.attack(copy, ("DELETE FROM checkpoints WHERE size > 62", ()))
    with pytest.raises(ApplianceError):
        verify_file(copy)


def test_hand_over_that_was_not_recorded_is_found(copy: Path) -> None:
    """A made-up hand-over in the tail, with every hash made anew, is not in the table."""
    samples.attack(copy, ("DELETE FROM checkpoints WHERE size > 93", ()))
    stated = {"epoch": 4, "key": "k", "previous": "p"}
    samples.rewrite(copy, 100, action="record.epoch", type="record", content=stated)
    with pytest.raises(TamperedError, match="hands over") as caught:
        verify_file(copy)
    assert caught.value.seq == 100
