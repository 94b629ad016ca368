"""Each row of the attack table in RECORD.md, on a record that the ledger wrote, by both verifiers.

The record has three days. A checkpoint of the second morning was kept elsewhere; the third day is
the current epoch, so its key is there to be stolen.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.audit.checkpoint import SignedCheckpoint
from appliance.audit.log import Log
from appliance.audit.verify import verify_file
from appliance.errors import TamperedError
from tests.faults.lean_ledger import DAY_S
from tests.faults.lean_process import RESERVE_BYTES
from tests.faults.rewriting import Rewriter
from tests.simulators import auditor
from tests.simulators.manual_clock import ManualClock
from tests.unit.audit import samples

LOG = "ward/audit/0123456789abcdef"
EACH = 150
PLACE = 40


@dataclass
class Scene:
    """A record, what somebody kept elsewhere, and what a thief may have."""

    record: Path
    key: str
    anchor: Path
    yesterday: Path
    stolen: bytes = b""

    def own_words(self) -> int | None:
        """Return the first bad entry that both verifiers find in the record alone, -1 if none."""
        return self._found([], None)

    def with_anchor(self) -> int | None:
        """Return what they find with the one checkpoint that was kept elsewhere."""
        return self._found(["--anchor", self.anchor], self.anchor.parent)

    def _found(self, more: list[object], folder: Path | None) -> int | None:
        # What lies beside the record is the thief's too.
        shutil.rmtree(self.record.with_suffix(".anchors"), ignore_errors=True)
        report = auditor.ask(self.record, "--key", self.key, *more)
        try:
            verify_file(self.record, samples.places(self.record, *([folder] if folder else [])))
        except TamperedError as error:
            assert report["exit"] == auditor.TAMPERED, report
            return error.seq
        assert report["exit"] == auditor.WHOLE, report
        return -1


def work(record: Path, clock: ManualClock, first: int) -> str:
    """Add a day's entries; return the newest checkpoint."""
    log = Log(record, clock, samples.BOOT, samples.SETTINGS)
    for number in range(first, first + EACH):
        log.append(samples.event(number))
    note = log.checkpoint()
    log.close()
    return note


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the record, made once."""
    folder = tmp_path_factory.mktemp("attacks") / "original"
    for name in ("state", "kept", "yesterday"):
        (folder / name).mkdir(parents=True)
    record, clock = folder / "state" / "audit.db", ManualClock()
    Log.create(record, LOG, RESERVE_BYTES)
    log = Log(record, clock, samples.BOOT, samples.SETTINGS)
    (folder / "key").write_text(log.keys()[0].key)
    log.close()
    work(record, clock, 0)
    clock.advance(DAY_S)
    (folder / "kept" / "stick.checkpoint").write_text(work(record, clock, EACH))
    shutil.copytree(folder / "state", folder / "yesterday", dirs_exist_ok=True)
    clock.advance(DAY_S)
    work(record, clock, 2 * EACH)
    return folder


@pytest.fixture
def scene(original: Path, tmp_path: Path) -> Scene:
    """A copy of it, to be attacked."""
    folder = tmp_path / "scene"
    shutil.copytree(original, folder)
    return Scene(
        record=folder / "state" / "audit.db",
        key=(folder / "key").read_text(),
        anchor=folder / "kept" / "stick.checkpoint",
        yesterday=folder / "yesterday" / "audit.db",
        stolen=(folder / "state" / "audit.keys" / "2.key").read_bytes(),
    )


def change_one(record: Rewriter) -> None:
    record.entries[PLACE]["agent"]["user"] = "usr_somebody_else"


def change_and_recompute(record: Rewriter) -> None:
    change_one(record)
    record.relink()


def delete_and_recompute(record: Rewriter) -> None:
    del record.entries[PLACE]
    record.relink()


def reorder_and_recompute(record: Rewriter) -> None:
    one, other = record.entries[PLACE : PLACE + 2]
    record.entries[PLACE : PLACE + 2] = [other, one]
    record.relink()


def insert_and_recompute(record: Rewriter) -> None:
    record.entries.insert(PLACE, {**record.entries[PLACE], "entity": "msg_never_asked"})
    record.relink()


def cut_the_tail(record: Rewriter) -> None:
    del record.entries[-10:]


def cut_the_tail_with_its_checkpoints(record: Rewriter) -> None:
    """Cut back to the last checkpoint of the first day, as if nothing had come after it."""
    del record.entries[EACH:], record.epochs[1:]
    record.notes = {size: note for size, note in record.notes.items() if size <= EACH}


WITHOUT_KEY: dict[str, Callable[[Rewriter], None]] = {
    "change one": change_one,
    "change one, recompute": change_and_recompute,
    "delete one, recompute": delete_and_recompute,
    "reorder, recompute": reorder_and_recompute,
    "insert one, recompute": insert_and_recompute,
    "cut the tail": cut_the_tail,
}


def attacked(scene: Scene, attack: Callable[[Rewriter], None]) -> Scene:
    rewriter = Rewriter(scene.record)
    attack(rewriter)
    rewriter.store()
    return scene


def test_the_record_is_whole_before_and_after_a_rewrite_that_changes_nothing(scene: Scene) -> None:
    """So whatever is found below is the attack, and not the attacker's clumsiness."""
    assert scene.own_words() == scene.with_anchor() == -1
    attacked(scene, Rewriter.relink)
    assert scene.own_words() == scene.with_anchor() == -1


@pytest.mark.parametrize("attack", WITHOUT_KEY.values(), ids=WITHOUT_KEY)
def test_signed_checkpoints_show_it(scene: Scene, attack: Callable[[Rewriter], None]) -> None:
    """Without any key nothing can be changed, whatever is computed anew."""
    assert attacked(scene, attack).own_words() != -1


def test_the_first_bad_entry_is_named(scene: Scene) -> None:
    """A changed entry is named itself; one behind a recomputed chain by its checkpoint."""
    assert attacked(scene, change_one).own_words() == PLACE


def test_a_cut_that_takes_its_checkpoints_along_needs_an_anchor(scene: Scene) -> None:
    """The same as an older copy: only what is kept elsewhere tells."""
    attacked(scene, cut_the_tail_with_its_checkpoints)
    assert scene.own_words() == -1
    assert scene.with_anchor() == EACH


def test_yesterdays_copy_needs_an_anchor(scene: Scene) -> None:
    """It is whole in itself; a checkpoint of today tells, one of yesterday cannot."""
    note = dict(Rewriter(scene.record).notes)
    shutil.copy(scene.yesterday, scene.record)
    assert scene.own_words() == scene.with_anchor() == -1
    scene.anchor.write_text(note[max(note)])
    assert scene.with_anchor() == 2 * EACH + 1


def test_a_new_log_of_the_same_name_has_another_key(scene: Scene, tmp_path: Path) -> None:
    """The key that was printed at installation, or any anchor, tells."""
    (tmp_path / "new").mkdir()
    record = tmp_path / "new" / "audit.db"
    Log.create(record, LOG, RESERVE_BYTES)
    clock = ManualClock()
    for day in range(3):
        work(record, clock, day * EACH)
        clock.advance(DAY_S)
    assert verify_file(record).entries == 3 * EACH + 2
    report = auditor.ask(record, "--key", scene.key)
    assert report["exit"] == auditor.TAMPERED
    with pytest.raises(TamperedError, match="vouches for"):
        verify_file(record, samples.places(record, scene.anchor.parent))


def rewrite_with_stolen_key(scene: Scene, place: int) -> None:
    """Change one entry and sign every checkpoint after it with the key of the third day."""

    def attack(record: Rewriter) -> None:
        record.entries[place]["agent"]["user"] = "usr_somebody_else"
        record.relink()
        record.sign(scene.stolen, lambda size: size > place)

    attacked(scene, attack)


@pytest.mark.parametrize("place", [PLACE, EACH + PLACE])
def test_a_stolen_key_signs_nothing_of_the_days_before(scene: Scene, place: int) -> None:
    """The keys of those days are destroyed: the record itself shows it."""
    rewrite_with_stolen_key(scene, place)
    assert scene.own_words() != -1


def test_a_stolen_key_rewrites_its_own_day_up_to_the_anchor(scene: Scene) -> None:
    """Stated openly: found from the first checkpoint of that day that is kept elsewhere."""
    place = 2 * EACH + PLACE
    true = dict(Rewriter(scene.record).notes)
    rewrite_with_stolen_key(scene, place)
    assert scene.own_words() == scene.with_anchor() == -1
    scene.anchor.write_text(true[max(true)])
    assert SignedCheckpoint.parse(scene.anchor.read_bytes()).checkpoint.size > place
    assert scene.with_anchor() != -1
