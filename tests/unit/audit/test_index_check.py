"""Whatever is done to the search index or below it: it is found, and mended from the record."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from appliance.audit.actions import Outcome
from appliance.audit.index import Index
from appliance.audit.query import Query
from appliance.audit.search import BLOCK
from appliance.errors import TamperedError
from tests.unit.audit.index_samples import (
    DAY_S,
    START,
    SUBJECT,
    Record,
    change,
    matches,
    seqs,
    some,
)
from tests.unit.audit.samples import event

COUNT = 12_000


def test_damage_found_by_a_search_is_mended_by_it(tmp_path: Path) -> None:
    """A search that meets a torn page answers from the record, and the index is made again."""
    record = Record(tmp_path, some(6_000))
    index = record.index()
    index.catch_up(record.size)
    index.close()
    data = bytearray(index.path.read_bytes())
    pages = len(data) // 4_096
    for page in range(10, pages):  # the first hold the schema and the state
        data[page * 4_096 : page * 4_096 + 100] = bytes(100)
    index.path.write_bytes(data)
    again = record.index()
    assert again.size == 6_000, "what is wrong is not seen at the start"
    assert seqs(again, 6_000, entity="msg_00000007") == [7]
    assert again.catch_up(6_000) == 6_000
    assert again.check() is None
    again.close()
    record.close()


def test_damage_found_while_catching_up_is_mended(record: Record, index: Index) -> None:
    """Rows that are there already (a state set back) make the index start again."""
    change(index, "UPDATE state SET size = 10")
    record.add(*some(10))
    assert index.catch_up(50) == 50
    assert index.check() is None


@pytest.mark.parametrize(
    ("statement", "first"),
    [
        ("UPDATE facts SET user = (SELECT user FROM facts WHERE seq = 8) WHERE seq = 7", 7),
        ("UPDATE facts SET t = '2020' WHERE seq = 9", 9),
        ("UPDATE facts SET subject = 1 WHERE seq = 4", 4),
        ("UPDATE facts SET subject = 99999 WHERE seq = 4", 4),
        ("UPDATE facts SET entity = NULL WHERE seq = 39", 39),
        ("DELETE FROM facts WHERE seq = 5", 5),
        ("DELETE FROM facts", 0),
        ("UPDATE words SET value = '\"usr_x\"' WHERE value = '\"usr_2\"'", 2),
        ("DELETE FROM words WHERE value = '\"msg_00000011\"'", 11),
        ("INSERT INTO facts SELECT 40, t" + ", NULL" * 9 + " FROM facts WHERE seq = 1", 40),
        ("INSERT INTO facts SELECT -1, t" + ", NULL" * 9 + " FROM facts WHERE seq = 1", -1),
        ("UPDATE blocks SET last_t = first_t", 0),
        ("DELETE FROM blocks", 0),
        ("UPDATE eras SET first_t = last_t", 0),
        ("INSERT INTO blocks VALUES (7, '', '')", 7 * BLOCK),
    ],
)
def test_edited_index_is_found(record: Record, index: Index, statement: str, first: int) -> None:
    """Whatever is changed, `check` names the first entry concerned, and `rebuild` mends it."""
    assert index.check() is None
    change(index, statement)
    assert index.check() == first
    index.rebuild()
    assert index.size == 0
    index.catch_up(40)
    assert index.check() is None


def test_entry_hidden_from_one_index_is_found(record: Record, index: Index) -> None:
    """An entry that a filter no longer finds, though its row is right, is named."""
    index.close()
    change(
        index,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'IS NOT NULL', 'IS NOT NULL AND seq <> 6') "
        "WHERE name = 'facts_by_user'",
    )
    change(index, "REINDEX facts_by_user")
    change(
        index,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, ' AND seq <> 6', '') "
        "WHERE name = 'facts_by_user'",
    )
    again = record.index()
    assert again.size == 40
    assert 6 not in seqs(again, 40, user="usr_6")
    assert again.check() == 6
    again.close()


def test_damaged_structure_is_reported(tmp_path: Path) -> None:
    """Where SQLite finds the file malformed, `check` says so."""
    record = Record(tmp_path, some(6_000))
    index = record.index()
    index.catch_up(record.size)
    index.close()
    data = bytearray(index.path.read_bytes())
    for page in range(10, len(data) // 4_096):
        data[page * 4_096 : page * 4_096 + 100] = bytes(100)
    index.path.write_bytes(data)
    again = record.index()
    with pytest.raises(TamperedError, match="search index"):
        again.check()
    record.run("UPDATE head SET pruned = 256")
    record.run("DELETE FROM entries WHERE seq < 256")
    again.forget_below(256)
    assert again.catch_up(6_000) == 6_000
    assert again.check() is None
    again.close()
    record.close()


def test_pruned_entries_are_forgotten(tmp_path: Path) -> None:
    """What left the record leaves the index, words and times too; what was kept stays."""
    record = Record(tmp_path, [(event(entity="first", content={"subject": SUBJECT}), START)])
    record.add(*some(2 * BLOCK))
    index = record.index()
    index.catch_up(record.size)
    below = BLOCK + 256
    record.run("UPDATE head SET pruned = ?", below)
    record.run("DELETE FROM entries WHERE seq < ? AND seq <> 77", below)
    assert seqs(index, record.size, entity="first") == []
    assert index.check() is None, "what waits to be forgotten is no fault"
    index.forget_below(below)
    assert index.check() is None
    assert seqs(index, record.size, entity="msg_00000076") == [77]
    with index._reader() as connection:
        words = {value for (value,) in connection.execute("SELECT value FROM words")}
        assert not words & {'"first"', f'"{SUBJECT}"', '"msg_00000077"'}
        assert '"msg_00000076"' in words
        assert connection.execute("SELECT count(*) FROM facts").fetchone()[0] == len(record.rows())
    index.rebuild()
    index.catch_up(record.size)
    assert index.check() is None
    assert seqs(index, record.size, until="2026-01-31T12:00:00Z") == [77]
    index.close()
    record.close()


def test_index_of_a_record_without_its_beginning(tmp_path: Path) -> None:
    """An index made after pruning starts at the first entry that is there."""
    record = Record(tmp_path, some(COUNT))
    record.run("DELETE FROM entries WHERE seq < 11000")
    index = record.index()
    index.catch_up(COUNT, at_most=5_000)
    assert index.catch_up(COUNT) == COUNT
    assert index.check() is None
    index.close()
    again = record.index()
    assert again.size == COUNT
    again.close()
    record.close()


def test_entry_that_is_no_json_does_not_stop_the_index(record: Record, index: Index) -> None:
    """Someone was at the record: the verifier names it, and the search goes on without it."""
    record.run("UPDATE entries SET entry = CAST('{broken' AS BLOB) WHERE seq = 20")
    assert index.check() == 20
    index.rebuild()
    assert index.catch_up(40) == 40
    assert seqs(index, 40, user="usr_6") == [34, 27, 13, 6]
    assert seqs(index, 40, text="broken") == []
    assert 20 in seqs(index, 40)


def test_random_bytes_in_the_file_never_give_a_wrong_page(tmp_path: Path) -> None:
    """Bytes changed anywhere: a search answers rightly, or `check` finds the damage."""
    record = Record(tmp_path, some(300, every_s=DAY_S / 24))
    index = record.index()
    index.catch_up(record.size)
    index.close()
    whole = index.path.read_bytes()
    query = Query(user="usr_3", since="2026-02-01", limit=1_000, outcome=str(Outcome.SUCCESS))
    wanted = matches(record.rows(), query)[::-1]
    for at in range(100, len(whole), 997):
        data = bytearray(whole)
        data[at] ^= 0x41
        index.path.write_bytes(data)
        again = record.index()
        right = seqs(again, record.size, **query.to_json()) == wanted
        again.catch_up(record.size)
        with contextlib.suppress(TamperedError):
            assert right or again.check() is not None, f"byte {at}"
        again.close()
    record.close()
