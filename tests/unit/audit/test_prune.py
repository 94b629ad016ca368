"""Letting go of old entries: stated first, by whole tiles, and everything else still proved."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from appliance.audit import merkle, recorder, store
from appliance.audit.checkpoint import SignedCheckpoint, VerifierKey
from appliance.audit.entry import Agent
from appliance.audit.proof import TlogProof
from appliance.audit.verify import verify_file
from appliance.errors import ApplianceError, BadInputError, NotFoundError, TamperedError
from tests.unit.audit import samples

DAY = 86_400
BEFORE = 768
BY = Agent("usr_p", "privacy-officer", "password")
BASIS = "retention of 10 years"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of three days with hand-overs at 400 and 801, and checkpoints in many places."""
    clock = samples.SetClock()
    path = samples.make(tmp_path_factory.mktemp("whole"), 100, clock)
    log = samples.opened(path, clock=clock)
    samples.fill(log, 300)
    for _ in range(2):
        clock.go(DAY)
        samples.fill(log, 400)
        log.checkpoint()
    log.close()
    return path.parent


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """A copy of it with all that belongs to it."""
    shutil.copytree(whole, tmp_path / "state")
    return tmp_path / "state" / "audit.db"


def clock() -> samples.SetClock:
    return samples.SetClock(samples.MORNING + 2 * DAY)


def prune(path: Path, before: int = BEFORE) -> int:
    log = samples.opened(path, clock=clock())
    removed = log.prune(before, BY, "10.0.0.1", BASIS)
    log.close()
    return removed


@pytest.fixture(scope="module")
def pruned(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record with its first 768 entries let go, which no test changes."""
    path = tmp_path_factory.mktemp("pruned") / "state" / "audit.db"
    shutil.copytree(whole, path.parent)
    assert prune(path) == BEFORE - 1  # the hand-over among them stays
    return path


def test_pruned_record_is_whole(pruned: Path, whole: Path) -> None:
    """It verifies, and says from where on it is there."""
    before, after = verify_file(whole / "audit.db"), verify_file(pruned)
    assert (after.pruned, after.entries, after.signed) == (BEFORE, before.entries + 1, 1_203)
    assert after == verify_file(pruned, processes=2)
    seqs = [seq for seq, _, _ in samples.rows(pruned)]
    assert seqs == [400, *range(BEFORE, before.entries + 1)]


def test_pruning_is_stated(pruned: Path, whole: Path) -> None:
    """The record says who let go of how much, on what ground, and what its root was."""
    _, data, _ = samples.rows(pruned)[-1]
    entry = json.loads(data)
    leaves = [leaf for _, _, leaf in samples.rows(whole / "audit.db")]
    assert (entry["action"], entry["outcome"]) == ("record.prune", "success")
    assert (entry["agent"]["user"], entry["source"]) == ("usr_p", "10.0.0.1")
    root = samples.root(leaves[:BEFORE]).hex()
    assert entry["content"] == {"before": BEFORE, "root": root, "basis": BASIS}


def test_everything_else_is_still_proved(path: Path) -> None:
    """Receipts of entries that stayed and growth from any size hold; of those that went, none."""
    prune(path)
    log = samples.opened(path, clock=clock())
    key = VerifierKey.parse(log.keys()[-1].key)
    note = log.checkpoint()
    newest = SignedCheckpoint.parse(note).checkpoint
    for seq in (400, BEFORE, BEFORE + 1, 1_000, newest.size - 1):
        TlogProof.parse(log.prove(seq)).verify(key)
    for (old,) in samples.read(path, "SELECT note FROM checkpoints"):
        point = SignedCheckpoint.parse(old).checkpoint
        proof = log.consistency(point.size, note)
        merkle.verify_consistency(point.size, newest.size, proof, point.root, newest.root)
    for before, opened in itertools.pairwise(log.keys()):
        TlogProof.parse(log.handover(opened.number)).verify(VerifierKey.parse(before.key))
    for seq in (0, 399, 401, BEFORE - 1):
        with pytest.raises(NotFoundError):
            log.prove(seq)
    log.append(samples.event())
    assert log.verify().pruned == BEFORE
    log.close()


def test_pruning_goes_on(path: Path) -> None:
    """What was let go once can be let go further, not less; the newest statement counts."""
    log = samples.opened(path, clock=clock())
    assert log.prune(256, BY, None, BASIS) == 256
    assert log.prune(1_024, BY, None, BASIS) == 766
    with pytest.raises(BadInputError):
        log.prune(512, BY, None, BASIS)
    log.close()
    assert verify_file(path).pruned == 1_024
    samples.opened(path, clock=clock()).close()


@pytest.mark.parametrize("before", [-256, 0, 1, 255, 257, 1_280, 2**70])
def test_only_whole_tiles_that_are_there_go(path: Path, before: int) -> None:
    """Anything but a multiple of 256 within the record is refused, and nothing is recorded."""
    log = samples.opened(path, clock=clock())
    size = log.head().size
    with pytest.raises(BadInputError):
        log.prune(before, BY, None, BASIS)
    assert log.head().size == size
    log.close()


def test_prefix_that_goes_without_a_statement_is_missed(path: Path) -> None:
    """Entries that are gone though nothing states it are missing, whatever the head says."""
    samples.attack(
        path,
        ("UPDATE head SET pruned = 256", ()),
        ("DELETE FROM entries WHERE seq < 256", ()),
    )
    with pytest.raises(TamperedError, match="no signed entry") as caught:
        verify_file(path)
    assert caught.value.seq == 0


def test_more_than_was_stated_is_missed(path: Path) -> None:
    """A statement about 256 entries does not cover 512."""
    prune(path, 256)
    samples.attack(
        path,
        ("UPDATE head SET pruned = 512", ()),
        ("DELETE FROM entries WHERE seq < 512 AND seq <> 400", ()),
    )
    with pytest.raises(TamperedError):
        verify_file(path)


def test_statement_that_nobody_signed_is_none(path: Path) -> None:
    """A made-up pruning in the tail, every hash made anew, lets nothing go."""
    shutil.rmtree(path.with_name("audit.anchors"))
    samples.attack(path, ("DELETE FROM checkpoints WHERE size > 802", ()))
    leaves = [leaf for _, _, leaf in samples.rows(path)]
    content = {"before": 256, "root": samples.root(leaves[:256]).hex(), "basis": "none"}
    samples.rewrite(path, 1_000, action="record.prune", type="record", content=content)
    assert verify_file(path).pruned == 0
    samples.attack(
        path,
        ("UPDATE head SET pruned = 256", ()),
        ("DELETE FROM entries WHERE seq < 256", ()),
    )
    with pytest.raises(TamperedError, match="no signed entry"):
        verify_file(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tiles SET hashes = zeroblob(8192) WHERE idx = 1",
        "DELETE FROM tiles WHERE idx = 1",
        "UPDATE entries SET entry = x'00' WHERE seq = 400",
        "DELETE FROM entries WHERE seq = 400",
        "UPDATE entries SET seq = 399 WHERE seq = 400",
        "INSERT INTO entries VALUES (5, x'00')",
        "UPDATE head SET pruned = 512",
        "UPDATE head SET pruned = 0",
        "UPDATE head SET pruned = 1024",
        "DELETE FROM entries WHERE seq = 768",
        "DELETE FROM checkpoints WHERE size = 401",
    ],
)
def test_what_stayed_of_the_prefix_is_held(pruned: Path, tmp_path: Path, statement: str) -> None:
    """Tiles, hand-overs and checkpoints of a pruned prefix still lead to what was signed."""
    copy = samples.snapshot(pruned, tmp_path / "audit.db")
    samples.attack(copy, (statement, ()))
    with pytest.raises(TamperedError):
        verify_file(copy)


def test_deleting_is_allowed_for_what_was_let_go_only(pruned: Path, tmp_path: Path) -> None:
    """The file's own triggers still refuse to delete what is kept."""
    connection = sqlite3.connect(samples.snapshot(pruned, tmp_path / "audit.db"))
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("DELETE FROM entries WHERE seq = ?", (BEFORE,))
    connection.execute("DELETE FROM entries WHERE seq = 400")
    connection.close()


class CutError(Exception):
    """A crash in the middle."""


def cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let go of entries in small pieces, and stop after the second piece as a crash would."""
    monkeypatch.setattr(recorder, "PRUNE_AT_ONCE", 100)
    log = samples.opened(path, clock=clock())
    whole, pieces = log._recorder._writer.prune, iter(range(2))

    def piece(before: int, at_most: int) -> int:
        if next(pieces, None) is None:
            raise CutError
        return whole(before, at_most)

    monkeypatch.setattr(log._recorder._writer, "prune", piece)
    with pytest.raises(ApplianceError):
        log.prune(BEFORE, BY, None, BASIS)
    log.append(samples.event())  # what went wrong is no reason to refuse events
    log.close()


def test_crash_in_the_middle_is_finished_at_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep that was cut off leaves a whole record, and the next start ends it."""
    cut(path, monkeypatch)
    assert len([row for row in samples.rows(path) if row[0] < BEFORE]) == BEFORE - 200
    assert verify_file(path).pruned == BEFORE
    samples.opened(path, clock=clock()).close()
    assert [row[0] for row in samples.rows(path) if row[0] < BEFORE] == [400]
    assert verify_file(path).pruned == BEFORE


def test_start_that_cannot_finish_a_sweep_starts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk nothing can be let go; that is no reason not to record."""
    cut(path, monkeypatch)

    def full(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(store.Writer, "prune", full)
        log = samples.opened(path, clock=clock())
        log.append(samples.event())
        log.close()
    assert len([row for row in samples.rows(path) if row[0] < BEFORE]) == BEFORE - 200
    samples.opened(path, clock=clock()).close()
    assert [row[0] for row in samples.rows(path) if row[0] < BEFORE] == [400]


def test_leftovers_of_a_crash_cannot_be_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a cut-off sweep left is still what was signed."""
    cut(path, monkeypatch)
    samples.reword(path, 500, purpose="research")
    with pytest.raises(TamperedError) as caught:
        verify_file(path)
    assert caught.value.seq == 500


def test_appends_go_on_while_entries_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pieces of a sweep, whoever waits is served."""
    monkeypatch.setattr(recorder, "PRUNE_AT_ONCE", 1)
    log = samples.opened(path, clock=clock())
    seen: list[int] = []

    def append() -> None:
        log.append(samples.event())
        rows = samples.read(path, "SELECT count(*) FROM entries WHERE seq < 256")
        seen.append(rows[0][0])

    thread = threading.Thread(target=append)
    swept = threading.Event()
    whole = log._recorder._writer.prune

    def piece(before: int, at_most: int) -> int:
        if not swept.is_set():
            swept.set()
            thread.start()
        return whole(before, at_most)

    monkeypatch.setattr(log._recorder._writer, "prune", piece)
    assert log.prune(256, BY, None, BASIS) == 256
    thread.join()
    log.close()
    assert seen[0] > 0
