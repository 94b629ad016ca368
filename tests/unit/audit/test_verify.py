"""The record at rest: every attack on the file names the first bad entry, or is not one."""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from appliance.audit.log import Log
from appliance.audit.verify import verify_file
from appliance.errors import NotInitialisedError, TamperedError, UnavailableError
from tests.unit.audit import samples

COUNT = 60


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of 60 entries that no test changes."""
    return samples.make(tmp_path_factory.mktemp("whole"), COUNT)


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy of the record that a test may attack."""
    return Path(shutil.copy(whole, tmp_path / "audit.db"))


def flip(path: Path, offset: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def first_bad(path: Path) -> int | None:
    with pytest.raises(TamperedError) as caught:
        verify_file(path)
    assert caught.value.what
    return caught.value.seq


def test_whole_record_is_described(whole: Path) -> None:
    """A whole record gives its length, its first and last time, and its head."""
    found = verify_file(whole)
    entries = samples.rows(whole)
    assert (found.entries, found.head.size, found.head.leaf) == (COUNT, COUNT, entries[-1][2])
    assert found.first_t is not None
    assert found.last_t is not None
    assert found.first_t <= found.last_t


def test_empty_record_is_whole(tmp_path: Path) -> None:
    """A record that was just made is whole and has no times."""
    found = verify_file(samples.make(tmp_path))
    assert (found.entries, found.first_t, found.last_t) == (0, None, None)


def test_verifying_changes_nothing(copy: Path) -> None:
    """The file has the same bytes after it was verified."""
    before = copy.read_bytes()
    verify_file(copy)
    assert copy.read_bytes() == before


@pytest.mark.parametrize("seq", range(COUNT))
def test_flipped_byte_names_its_entry(copy: Path, seq: int) -> None:
    """One flipped byte in an entry's bytes is reported at that entry."""
    _, entry, _ = samples.rows(copy)[seq]
    flip(copy, copy.read_bytes().index(entry) + len(entry) // 2)
    assert first_bad(copy) == seq


def test_any_flipped_bit_in_any_row_is_found(copy: Path) -> None:
    """Seeded random bits over all of every stored row: each is found, at the entry it lies in."""
    original = copy.read_bytes()
    positions = random.Random(7)  # noqa: S311 - reproducible, not secret
    for seq, entry, _ in samples.rows(copy):
        start = original.index(entry)
        for _ in range(5):
            flip(copy, start + positions.randrange(len(entry)), positions.randrange(8))
            assert first_bad(copy) == seq
            copy.write_bytes(original)


def test_no_flipped_byte_crashes_the_verifier(copy: Path) -> None:
    """Any byte of the file flipped gives a whole record or a clear finding, never a stack trace."""
    original = copy.read_bytes()
    positions = random.Random(11)  # noqa: S311 - reproducible, not secret
    found = 0
    for _ in range(300):
        flip(copy, positions.randrange(len(original)), positions.randrange(8))
        try:
            verify_file(copy)
        except TamperedError:
            found += 1
        except UnavailableError:
            pass  # the header says a version of SQLite's format that cannot be read
        copy.write_bytes(original)
    assert found > 100


def test_damaged_page_names_the_first_entry_in_it(copy: Path) -> None:
    """When SQLite calls the file malformed, the first entry that cannot be read is named."""
    data = bytearray(copy.read_bytes())
    entry = samples.rows(copy)[30][1]
    page = data.index(entry) // 4096 * 4096
    inside = [seq for seq, e, _ in samples.rows(copy) if page <= data.index(e) < page + 4096]
    assert len(inside) > 1
    data[page : page + 8] = b"\xff" * 8
    copy.write_bytes(data)
    assert first_bad(copy) == min(inside)


def test_truncated_file_is_reported(copy: Path) -> None:
    """Half a file is reported as damaged."""
    data = copy.read_bytes()
    copy.write_bytes(data[: len(data) // 2])
    first_bad(copy)


def test_file_of_something_else_is_reported(copy: Path) -> None:
    """A file that is no database is reported without naming an entry."""
    copy.write_bytes(b"x" * 8192)
    assert first_bad(copy) is None


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("DELETE FROM entries WHERE seq = 7", 7),
        ("DELETE FROM entries WHERE seq >= 50", 50),
        ("UPDATE entries SET seq = 100 WHERE seq = 59", 59),
        ("UPDATE entries SET seq = -1 WHERE seq = 0", -1),
        ("INSERT INTO entries SELECT -1, entry FROM entries WHERE seq = 0", -1),
        ("INSERT INTO entries SELECT 60, entry FROM entries WHERE seq = 59", 60),
        ("UPDATE head SET size = 61", 60),
        ("UPDATE head SET size = 59", 59),
        ("UPDATE head SET leaf = x'00'", 59),
        ("UPDATE head SET leaf = zeroblob(32)", 59),
        ("UPDATE head SET frontier = x'00'", None),
        ("UPDATE head SET frontier = zeroblob(128)", 59),
        ("UPDATE head SET pruned = 1", None),
        ("UPDATE head SET pruned = -256", None),
        ("UPDATE head SET pruned = 256", None),
        ("DELETE FROM head", None),
        ("UPDATE meta SET value = '3' WHERE name = 'schema'", None),
        ("UPDATE meta SET value = 'other' WHERE name = 'log'", None),
        ("UPDATE meta SET value = 'x' WHERE name = 'key'", None),
        ("DELETE FROM meta WHERE name = 'key'", None),
        ("DELETE FROM epochs", None),
        ("UPDATE epochs SET number = 1", None),
        ("UPDATE epochs SET seq = 3", None),
        ("UPDATE epochs SET key = 'ward+00000000+AAAA'", None),
        ("INSERT INTO epochs SELECT 2, 7, key FROM epochs", None),
        ("INSERT INTO epochs SELECT 1, 7, key FROM epochs", 7),
        ("UPDATE checkpoints SET note = 'x'", 0),
        ("UPDATE checkpoints SET note = replace(note, 'ward', 'other')", 0),
        ("UPDATE checkpoints SET size = 59", 0),
        ("UPDATE checkpoints SET size = 61", 60),
        ("INSERT INTO checkpoints SELECT 30, note FROM checkpoints", 0),
        ("INSERT INTO tiles VALUES (0, 0, zeroblob(8192))", 0),
        ("INSERT INTO tiles VALUES (3, 9, zeroblob(8192))", None),
        ("CREATE TABLE more (x)", None),
    ],
)
def test_change_by_sql_is_reported(copy: Path, statement: str, seq: int | None) -> None:
    """What someone with SQL can do to the file is reported at the first entry it touches."""
    samples.attack(copy, (statement, ()))
    assert first_bad(copy) == seq


def test_swapped_entries_are_reported(copy: Path) -> None:
    """Two entries that changed places are reported at the first of them."""
    samples.attack(
        copy,
        ("UPDATE entries SET seq = 1000 WHERE seq = 4", ()),
        ("UPDATE entries SET seq = 4 WHERE seq = 5", ()),
        ("UPDATE entries SET seq = 5 WHERE seq = 1000", ()),
    )
    assert first_bad(copy) == 4


def test_dropped_trigger_is_reported(copy: Path) -> None:
    """Someone who took the speed bump away and did not put it back is noticed."""
    connection = sqlite3.connect(copy)
    connection.execute("DROP TRIGGER entries_no_delete")
    connection.close()
    with pytest.raises(TamperedError, match="entries_no_delete"):
        verify_file(copy)


def test_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    """A missing record is not reported as tampered with."""
    with pytest.raises(NotInitialisedError):
        verify_file(tmp_path / "audit.db")


def test_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    """What is not a file at all gets a clear refusal."""
    with pytest.raises(UnavailableError):
        verify_file(tmp_path)


def test_record_in_use_can_be_verified(log: Log) -> None:
    """Verifying needs no lock and sees a whole record while the ledger writes."""
    going = threading.Event()

    def write() -> None:
        while not going.is_set():
            log.append(samples.event())

    writer = threading.Thread(target=write)
    writer.start()
    sizes = [verify_file(log.path).entries for _ in range(10)]
    going.set()
    writer.join()
    assert sizes == sorted(sizes)
    assert log.verify().entries == log.head().size
