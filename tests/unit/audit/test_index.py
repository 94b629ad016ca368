"""The search index as a file: it follows the record, and is made again when anything is wrong."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from appliance.audit import index as index_module
from appliance.audit import index_file
from appliance.audit.index import Index
from appliance.audit.query import Query
from appliance.errors import ApplianceError
from tests.unit.audit.index_samples import START, Record, change, seqs, some
from tests.unit.audit.samples import event

COUNT = 12_000


def test_search_sees_what_was_just_written(record: Record, index: Index) -> None:
    """An entry is found as soon as it is durable; nothing has to be called in between."""
    record.add((event(40, entity="new"), START))
    assert seqs(index, record.size, entity="new") == [40]
    assert index.size == 41


def test_catching_up_can_be_done_in_parts(tmp_path: Path) -> None:
    """`at_most` bounds one call; an index that is behind is a part of the answer, not all."""
    record = Record(tmp_path, some(COUNT))
    index = record.index()
    assert index.catch_up(record.size, at_most=100) == 100
    assert index.newest(Query(entity="msg_00011990"), record.size)[0][0][0] == 11_990
    assert index.size == 100, "so large a gap is not filled while a person waits"
    assert seqs(index, record.size, entity="msg_00000050") == [50]
    assert index.catch_up(record.size) == COUNT
    assert seqs(index, record.size, entity="msg_00000050") == [50]
    index.close()
    record.close()


def test_large_gap_is_read_in_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an index, a page says how far it looked, and the next ones find the rest."""
    monkeypatch.setattr("appliance.audit.search.WINDOW_OF_READS", 2_000)
    record = Record(tmp_path, some(COUNT))
    index = record.index()
    before: int | None = None
    pages = []
    while True:
        rows, before = index.newest(Query(entity="msg_00000003", before_seq=before), record.size)
        pages.append([seq for seq, _ in rows])
        if before is None:
            break
    assert pages == [[]] * 5 + [[3]]
    assert index.size == 0
    index.close()
    record.close()


def test_index_is_kept_between_starts(record: Record, index: Index) -> None:
    """Opened again, the index goes on where it was."""
    index.close()
    again = record.index()
    assert again.size == 40
    assert seqs(again, 40, user="usr_3") == [38, 31, 24, 17, 10, 3]
    again.close()


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
def test_deleted_file_is_made_again(record: Record, index: Index, ending: str) -> None:
    """Whichever file was removed while nothing ran, the index is whole after the next start."""
    index.close()
    index.path.with_name(index.path.name + ending).unlink(missing_ok=True)
    again = record.index()
    assert again.catch_up(40) == 40
    assert again.check() is None
    assert seqs(again, 40, user="usr_3") == [38, 31, 24, 17, 10, 3]
    again.close()


@pytest.mark.parametrize(
    "content", [b"", b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 8_000]
)
def test_file_that_is_no_index_is_replaced(record: Record, index: Index, content: bytes) -> None:
    """Anything else in its place is thrown away at the next start."""
    index.close()
    index.path.write_bytes(content)
    again = record.index()
    assert again.size == 0
    assert again.catch_up(40) == 40
    assert again.check() is None
    again.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE state SET version = '0'",
        "UPDATE state SET log = 'other/audit/0123456789abcdef'",
        "UPDATE state SET size = 41",
        "UPDATE state SET last = zeroblob(32)",
        "DELETE FROM state",
        "DROP INDEX facts_by_user",
        "CREATE TRIGGER hide AFTER INSERT ON facts BEGIN DELETE FROM facts; END",
        "ALTER TABLE facts ADD COLUMN more TEXT",
    ],
)
def test_index_of_something_else_is_replaced(record: Record, index: Index, statement: str) -> None:
    """Another version, another log, another schema, ahead of the record: made anew."""
    index.close()
    change(index, statement)
    again = record.index()
    assert again.size == 0
    assert again.catch_up(40) == 40
    assert again.check() is None
    again.close()


def test_index_of_a_record_that_was_restored_is_replaced(record: Record, index: Index) -> None:
    """An older copy of the record that went on differently does not keep the newer index."""
    index.close()
    record.run("DELETE FROM entries WHERE seq >= 30")
    record.size = 30
    record.add(*[(event(number, entity="other"), START) for number in range(15)])
    again = record.index()
    assert again.size == 0
    assert len(seqs(again, 45, entity="other")) == 15
    assert again.check() is None
    again.close()


def test_search_works_where_no_index_can_be_made(record: Record) -> None:
    """A folder in the file's place: slower, and nothing else."""
    record.path.with_name("audit.index.db").mkdir()
    index = record.index()
    assert seqs(index, 40, user="usr_3") == [38, 31, 24, 17, 10, 3]
    with pytest.raises(ApplianceError):
        index.catch_up(40)
    index.path.rmdir()
    assert index.catch_up(40) == 40, "as soon as it can be made, it is"
    assert seqs(index, 40, user="usr_3") == [38, 31, 24, 17, 10, 3]
    index.close()


def test_last_room_on_the_disk_is_left_alone(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With little room left the index does not grow, and searches read the record."""
    monkeypatch.setattr(index_module, "ROOM_BYTES", 2**62)
    index = record.index()
    assert index.catch_up(40) == 0
    assert seqs(index, 40, user="usr_3") == [38, 31, 24, 17, 10, 3]
    index.close()


def test_follower_keeps_up_by_itself(record: Record) -> None:
    """The thread covers what is appended, without a search."""
    index = record.index()
    covered = threading.Event()

    def size() -> int:
        if index.size == record.size:
            covered.set()
        return record.size

    index.follow(size, every_s=0.01)
    assert covered.wait(30)
    covered.clear()
    record.add(*some(10))
    assert covered.wait(30)
    index.close()
    assert index.size == 50


def test_two_indexes_of_one_file_do_not_cover_an_entry_twice(record: Record, index: Index) -> None:
    """A second one that is behind sees what the first did."""
    other = record.index()
    record.add(*some(10))
    assert index.catch_up(50) == 50
    assert other.catch_up(50) == 50
    assert other.check() is None
    other.close()


def test_appends_searches_and_rebuilds_at_once(tmp_path: Path) -> None:
    """While entries come in, every search finds exactly what was durable when it began."""
    record = Record(tmp_path, some(100))
    index = record.index()
    failures: list[object] = []
    stop = threading.Event()

    def search(user: str) -> None:
        try:
            while not stop.is_set():
                size = record.size
                found = [seq for seq, _ in index.entries(Query(user=user), size)]
                wanted = [seq for seq in range(size) if f"usr_{seq % 7}" == user]
                if found != wanted:
                    failures.append((size, found, wanted))
        except BaseException as error:
            failures.append(error)

    searching = [threading.Thread(target=search, args=(f"usr_{n}",)) for n in range(3)]
    index.follow(lambda: record.size, every_s=0.001)
    for thread in searching:
        thread.start()
    for number in range(100, 700):
        record.add((event(number), START + number))
        if number % 100 == 0:
            index.rebuild()
    stop.set()
    for thread in searching:
        thread.join()
    index.close()
    record.close()
    assert failures == []


def test_closed_index_stays_closed(record: Record, index: Index) -> None:
    """After `close` nothing is written, and closing again is safe."""
    index.close()
    index.close()
    with pytest.raises(ApplianceError):
        index.catch_up(41)
    assert not index.path.with_name(index.path.name + "-wal").exists()


def test_files_can_be_read_by_nobody_else(record: Record, index: Index) -> None:
    """The index says who did what: its files are as closed as the record's."""
    for found in index.path.parent.glob("audit.index.db*"):
        assert found.stat().st_mode & 0o777 == 0o600


def test_schema_is_what_is_made(index: Index) -> None:
    """A fresh index consists of exactly the stated tables and indexes."""
    with index._reader() as connection:
        assert index_file.covered(connection) == 40
