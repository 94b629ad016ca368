"""What somebody without the key removes or adds, so that nothing looks changed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from appliance.audit.verify import verify_file
from appliance.errors import TamperedError
from tests.unit.audit import samples

# The ledger signs after each: one event every 61 seconds, for more than ten minutes.
MINUTES = 12


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record that was signed every minute."""
    clock = samples.SetClock()
    path = samples.make(tmp_path, 5, clock)
    log = samples.opened(path, clock=clock)
    for number in range(MINUTES):
        log.append(samples.event(number))
        clock.go(61)
    log.close()
    return path


def test_checkpoints_cannot_be_removed_to_rewrite_what_they_cover(record: Path) -> None:
    """A tail older than ten minutes cannot be: the ledger would have signed it."""
    samples.attack(record, ("DELETE FROM checkpoints WHERE size > 5", ()))
    with pytest.raises(TamperedError, match="checkpoints were removed") as caught:
        verify_file(record)
    assert caught.value.seq == 5
    (record.with_name("audit.anchors") / "newest.checkpoint").unlink()
    with pytest.raises(TamperedError, match="checkpoints were removed"):
        samples.opened(record)


def test_a_checkpoint_has_one_signature(record: Path) -> None:
    """Whoever adds a line to a stored note is noticed, though the ledger's own still holds."""
    line = "— witness.example " + "A" * 96 + "\n"
    samples.attack(record, ("UPDATE checkpoints SET note = note || ? WHERE size = 5", (line,)))
    with pytest.raises(TamperedError, match="signatures that the ledger did not make"):
        verify_file(record)


def test_no_trigger_hides_behind_the_name_of_an_index(record: Path) -> None:
    """Names that SQLite gives its own indexes are not taken on trust."""
    connection = sqlite3.connect(record, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "INSERT INTO sqlite_schema VALUES ('trigger', 'sqlite_autoindex_evil', 'checkpoints', 0, "
        "'CREATE TRIGGER sqlite_autoindex_evil BEFORE INSERT ON checkpoints "
        "BEGIN SELECT RAISE(IGNORE); END')"
    )
    connection.close()
    with pytest.raises(TamperedError, match="sqlite_autoindex_evil"):
        verify_file(record)
