"""Anything in any order: append, ask, erase, crash, restart, prune, a new day, an old copy.

hypothesis chooses what happens to one state folder; after each step the record is whole, every
acknowledged entry is in its place, and there is one private key.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.assembly import assemble
from appliance.audit import merkle
from appliance.audit.anchors import Anchor
from appliance.audit.checkpoint import Checkpoint, SignedCheckpoint, VerifierKey
from appliance.audit.ledger import Receipt
from appliance.audit.log import Log
from appliance.audit.proof import TlogProof
from appliance.audit.verify import verify_file
from appliance.cli.actor import console_actor
from appliance.config import load
from appliance.conversations.retention import CONVERSATION
from appliance.errors import TamperedError
from appliance.operations import operations_for
from appliance.operations.scopes import Wanted
from tests.faults.lean_ledger import DAY_S, keys_of, table
from tests.faults.lean_process import OPERATOR
from tests.simulators.manual_clock import ManualClock
from tests.unit.audit import samples
from tests.unit.operations.kept import House, made

EXAMPLES = int(os.environ.get("APPLIANCE_FAULT_EXAMPLES", "12"))
STEPS = 18
RESERVE = {"APPLIANCE_LEDGER__RESERVE_BYTES": "1048576"}
# Nothing here waits for a disk; what a power cut does to one is not what is tested.
FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a private folder in it


class StateFolder(RuleBasedStateMachine):
    """One appliance's state, what was promised about it, and an older copy of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-", dir=FAST))
        self.clock = ManualClock()
        self.config = made(self.folder, **RESERVE)
        self.house = self.opened()
        self.leaves: dict[int, bytes] = {}
        self.notes: dict[int, str] = {}
        self.asked: list[str] = []
        self.erased: list[str] = []
        self.image: Path | None = None
        self.serial = 0

    # --- what may happen

    @initialize()
    def begin(self) -> None:
        """A person asks the first question."""
        self.ask(None)

    @rule(count=st.integers(1, 8))
    def append(self, count: int) -> None:
        """Events one by one, each a transaction of its own."""
        for _ in range(count):
            self.acknowledged([self.log.append(self.event())])

    @rule(count=st.sampled_from([200, 255, 256, 257, 1_000]))
    def append_at_once(self, count: int) -> None:
        """Many events in one transaction, around the size of a tile and of a checkpoint."""
        results = self.log.append_many([self.event() for _ in range(count)])
        self.acknowledged([one for one in results if isinstance(one, Receipt)])
        assert len([one for one in results if isinstance(one, Receipt)]) == count

    @rule(patient=st.none() | st.integers(1, 3))
    def ask(self, patient: int | None) -> None:
        """A question about a patient, or about none, and its answer."""
        reference = None if patient is None else f"MRN {patient}"
        conversation, _ = self.house.asked(self.house.person("ada"), reference)
        self.asked.append(conversation)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        """A conversation's keys are destroyed; the record says so."""
        wanted = data.draw(st.sampled_from(self.asked))
        self.asked.remove(wanted)
        self.erased.append(wanted)
        self.house.verbs.content.erase(console_actor(), Wanted(CONVERSATION, wanted), "Art. 17")

    @rule()
    def checkpoint(self) -> None:
        """Somebody takes a checkpoint away."""
        self.take(self.log.checkpoint())

    @rule(days=st.sampled_from([1, 1, 30, 3_652, -1, -3_652]))
    def rotate(self, days: int) -> None:
        """Another day begins, or somebody set the clock; the next entry is under a new key."""
        before = len(self.log.keys())
        if days > 0:
            self.clock.advance(days * DAY_S)
        else:
            self.clock.set_back(-days * DAY_S)
        self.append(1)
        assert len(self.log.keys()) == before + 1

    @rule(seconds=st.sampled_from([1, 59, 61]))
    def wait(self, seconds: int) -> None:
        """A little time passes."""
        self.clock.advance(seconds)

    @precondition(lambda self: self.log.head().size >= 256)
    @rule(data=st.data())
    def prune(self, data: st.DataObject) -> None:
        """A prefix is let go of; what is left of it are hashes."""
        [(pruned,)] = table(self.record, "SELECT pruned FROM head")
        most = self.log.head().size // 256
        if pruned // 256 < most:
            tiles = data.draw(st.integers(pruned // 256 + 1, most))
            self.log.prune(256 * tiles, OPERATOR, None, "six years are over")

    @rule()
    def restart(self) -> None:
        """Stopped and started in good order."""
        self.house.appliance.close()
        self.house = self.opened()

    @rule()
    def crash(self) -> None:
        """Everything stops between two writes: what is on the disk goes on, and nothing else."""
        self.serial += 1
        found = self.folder / f"after-crash-{self.serial}" / "state"
        self.copy(found)
        old = self.config.state
        self.house.appliance.close()
        shutil.rmtree(old)
        self.config = load(found, file=self.folder / "none", environment=RESERVE)
        self.house = self.opened()

    @rule()
    def back_up(self) -> None:
        """Somebody keeps a copy of the whole folder, taken while it runs."""
        self.serial += 1
        self.image = self.folder / f"image-{self.serial}"
        self.copy(self.image)

    @precondition(lambda self: self.image is not None)
    @rule(parts=st.sampled_from([("audit.db",), ("audit.db", "audit.keys")]))
    def restore(self, parts: tuple[str, ...]) -> None:
        """An older copy is refused by the checkpoint beside the record; the newest one starts."""
        assert self.image is not None
        self.house.appliance.close()
        aside = self.folder / "aside"
        shutil.copytree(self.config.state, aside)
        for name in parts:
            put_back(self.image / name, self.config.state / name)
        older = table(self.image / "audit.db", "SELECT size FROM head")
        if older == table(aside / "audit.db", "SELECT size FROM head"):
            self.house = self.opened()
            shutil.rmtree(aside)
            return
        with pytest.raises(TamperedError):
            Log(self.record, self.clock, samples.BOOT, self.config.ledger)
        shutil.rmtree(self.config.state)
        aside.rename(self.config.state)
        self.house = self.opened()

    # --- what always holds

    @invariant()
    def the_record_is_whole(self) -> None:
        """Against every checkpoint that anybody was ever given."""
        given = [Anchor("given", SignedCheckpoint.parse(n), True) for n in self.notes.values()]
        found = verify_file(self.record, given=given, processes=1)
        assert found.entries == self.log.head().size
        assert found.anchored == max(self.notes, default=0)

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        """At its number with its leaf hash, in the entries or, if pruned, in the tiles."""
        rows = table(self.record, "SELECT seq, entry FROM entries")
        there = {seq: hashlib.sha256(b"\x00" + data).digest() for seq, data in rows}
        tiles = dict(table(self.record, "SELECT idx, hashes FROM tiles WHERE level = 0"))
        for seq, leaf in self.leaves.items():
            tile = tiles.get(seq // 256)
            assert tile is None or tile[32 * (seq % 256) :][:32] == leaf
            assert there.get(seq, leaf if tile else None) == leaf

    @invariant()
    def there_is_one_private_key(self) -> None:
        """That of the current epoch; every other was destroyed."""
        assert keys_of(self.record) == [f"{len(self.log.keys()) - 1}.key"]

    @precondition(lambda self: self.leaves)
    @rule(data=st.data())
    def prove(self, data: st.DataObject) -> None:
        """Any entry that is still there is proved under the newest key."""
        [(pruned,)] = table(self.record, "SELECT pruned FROM head")
        kept = [seq for seq in self.leaves if seq >= pruned]
        if kept:
            seq = data.draw(st.sampled_from(kept))
            proof = TlogProof.parse(self.log.prove(seq))
            proof.verify(VerifierKey.parse(self.log.keys()[-1].key))
            assert merkle.leaf_hash(proof.entry) == self.leaves[seq]

    @precondition(lambda self: self.notes)
    @rule(data=st.data())
    def grow(self, data: st.DataObject) -> None:
        """The record of any checkpoint given out is how today's begins."""
        old = point(self.notes[data.draw(st.sampled_from(sorted(self.notes)))])
        note = self.log.checkpoint()
        new = point(note)
        proof = self.log.consistency(old.size, note)
        merkle.verify_consistency(old.size, new.size, proof, old.root, new.root)
        self.take(note)

    @invariant()
    def what_was_erased_stays_erased(self) -> None:
        """Also after a crash right behind it."""
        actor = self.house.person("ada")
        assert set(self.erased) <= set(self.house.erased(actor))
        assert not set(self.asked) & set(self.house.erased(actor))

    def teardown(self) -> None:
        """Close and remove everything."""
        self.house.appliance.close()
        shutil.rmtree(self.folder)

    # --- how

    @property
    def log(self) -> Log:
        found = self.house.appliance.ledger
        assert isinstance(found, Log)
        return found

    @property
    def record(self) -> Path:
        return self.config.paths.audit_db

    def opened(self) -> House:
        appliance = assemble(self.config, self.clock)
        return House(self.config, self.clock, appliance, operations_for(appliance))

    def event(self) -> Any:
        self.serial += 1
        return samples.event(self.serial)

    def acknowledged(self, receipts: list[Receipt]) -> None:
        for receipt in receipts:
            assert receipt.seq not in self.leaves
            self.leaves[receipt.seq] = receipt.leaf

    def take(self, note: str) -> None:
        size = point(note).size
        assert self.notes.setdefault(size, note).partition("\n\n")[0] == note.partition("\n\n")[0]
        self.notes[size] = note

    def copy(self, target: Path) -> None:
        """Copy the folder as a crash would leave it: in the writing thread, between two writes."""
        target.parent.mkdir(exist_ok=True)
        # The search index has a thread of its own, and is made again.
        left_out = shutil.ignore_patterns("audit.index.db*", "*-shm", "*.sock", "*.add")
        self.log._writing.run(lambda _: shutil.copytree(self.config.state, target, ignore=left_out))


def point(note: str) -> Checkpoint:
    return SignedCheckpoint.parse(note).checkpoint


def put_back(source: Path, target: Path) -> None:
    """Put a part of a backup in place of what there is, with SQLite's own files."""
    if source.is_dir():
        shutil.rmtree(target)
        shutil.copytree(source, target)
        return
    for ending in ("-wal", "-shm"):
        target.with_name(target.name + ending).unlink(missing_ok=True)
    for path in source.parent.glob(f"{source.name}*"):
        if path.name in {source.name, f"{source.name}-wal"}:
            shutil.copy2(path, target.with_name(path.name))


TestAnythingInAnyOrder = StateFolder.TestCase
TestAnythingInAnyOrder.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
