"""Starting the ledger: only over a record that is there, whole, and in no other hands."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.audit.log import Log
from appliance.errors import (
    ConflictError,
    NotInitialisedError,
    TamperedError,
)
from tests.unit.audit import samples


def test_second_ledger_is_refused(log: Log) -> None:
    """Only one writer can have the record open."""
    with pytest.raises(ConflictError):
        samples.opened(log.path)


def test_lock_is_free_after_close(log: Log) -> None:
    """A closed record can be opened again, and goes on where it was."""
    log.append(samples.event(0))
    log.close()
    again = samples.opened(log.path)
    assert again.append(samples.event(1)).seq == 1
    again.close()


def test_missing_record_is_refused(tmp_path: Path) -> None:
    """A missing record is not made anew: the ledger does not start."""
    with pytest.raises(NotInitialisedError):
        samples.opened(tmp_path / "audit.db")
    assert list(tmp_path.iterdir()) == []


def test_create_refuses_to_replace_a_record(tmp_path: Path) -> None:
    """Creating where a record is leaves it as it was."""
    path = samples.make(tmp_path, 2)
    with pytest.raises(ConflictError):
        Log.create(path, "ward", samples.RESERVE_BYTES)
    assert len(samples.rows(path)) == 2


def test_changed_entry_refuses_the_start(tmp_path: Path) -> None:
    """A record that is not whole is not written to; the refusal names the entry and the advice."""
    path = samples.make(tmp_path, 5)
    other = samples.rows(path)[3][1]
    samples.attack(path, ("UPDATE entries SET entry = ? WHERE seq = 2", (other,)))
    with pytest.raises(TamperedError) as caught:
        samples.opened(path)
    assert caught.value.seq == 2
    assert "backup" in caught.value.hint


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE head SET size = 4", 4),
        ("UPDATE head SET size = 6", 5),
        ("UPDATE head SET leaf = zeroblob(32)", 4),
        ("UPDATE head SET frontier = zeroblob(64)", 4),
        ("UPDATE entries SET entry = x'7b7d' WHERE seq = 3", 3),
        ("UPDATE entries SET entry = x'7b7d' WHERE seq = 0", 0),
        ("UPDATE entries SET entry = x'7b7d' WHERE seq = 4", 4),
        ("DELETE FROM entries WHERE seq = 4", 4),
        ("DELETE FROM entries WHERE seq = 1", 1),
    ],
)
def test_mismatch_of_head_or_entry_refuses_the_start(
    tmp_path: Path, statement: str, seq: int
) -> None:
    """Head, entries and checkpoint must agree before anything is added."""
    path = samples.make(tmp_path, 5)
    samples.attack(path, (statement, ()))
    with pytest.raises(TamperedError) as caught:
        samples.opened(path)
    assert caught.value.seq == seq


def test_refused_start_lets_go_of_the_record(tmp_path: Path) -> None:
    """After a refused start the lock is free, so that a restored record can be opened."""
    path = samples.make(tmp_path, 2)
    samples.attack(path, ("UPDATE head SET size = 1", ()))
    with pytest.raises(TamperedError):
        samples.opened(path)
    samples.attack(path, ("UPDATE head SET size = 2", ()))
    samples.opened(path).close()
