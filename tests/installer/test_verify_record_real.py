"""Records that the ledger itself wrote, under both verifiers: they agree on what is whole."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from appliance.audit import verify
from appliance.audit.entry import Agent
from appliance.audit.log import Log
from appliance.errors import ApplianceError
from tests.simulators import auditor
from tests.simulators.auditor import INCOMPLETE, TAMPERED, WHOLE, ask, result
from tests.simulators.manual_clock import ManualClock
from tests.unit.audit import samples

FLIPS = 500
DAY_S = 86_400
WHO = Agent("os:maria", "console", "os")


def write(path: Path, days: int, each: int, prune: int = 0) -> str:
    """Let the ledger write `each` events a day, and return the first key, as on paper."""
    clock = ManualClock()
    log = Log(path, clock, samples.BOOT, samples.SETTINGS)
    for day in range(days):
        if day:
            clock.advance(DAY_S)
        for number in range(each):
            log.append(samples.event(number))
    if prune:
        log.prune(prune, WHO, None, "six years are over")
    key = log.keys()[0].key
    log.close()
    return key


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A record of three days and epochs with two full tiles, and its first key."""
    path = samples.make(tmp_path_factory.mktemp("real"))
    return path, write(path, days=3, each=180)


def appliance_says(path: Path) -> str:
    """Return '' if the appliance's own verifier finds the record whole, else what is wrong."""
    try:
        verify.verify_file(path, processes=1)
    except ApplianceError as error:
        return error.message or "not whole"
    return ""


def test_a_record_by_the_ledger_is_whole(record: tuple[Path, str], tmp_path: Path) -> None:
    """All epochs are followed from the first key, and the anchor beside the record holds."""
    path, key = record
    anchor = path.with_suffix(".anchors") / "newest.checkpoint"
    report = ask(path, "--key", key, "--anchor", anchor)
    assert (report["exit"], [row["epoch"] for row in report["epochs"]]) == (WHOLE, [0, 1, 2])
    assert report["ranges"][0]["entries"] == report["entries"] == 542
    assert appliance_says(path) == ""


def test_the_schema_of_the_document_is_the_one_in_the_file(record: tuple[Path, str]) -> None:
    """Document, verifier and ledger name the same tables and triggers."""
    with contextlib.closing(sqlite3.connect(record[0])) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql NOT NULL")
        assert auditor.schema() == auditor.VERIFIER.SCHEMA == dict(rows)


def test_a_pruned_record_by_the_ledger_is_whole(tmp_path: Path) -> None:
    """Keys are followed through what was let go."""
    path = samples.make(tmp_path)
    key = write(path, days=4, each=180, prune=512)
    report = ask(path, "--key", key)
    assert (report["exit"], report["pruned"]) == (WHOLE, 512)
    assert [row["epoch"] for row in report["epochs"]] == [0, 1, 2, 3]
    assert appliance_says(path) == ""


def test_receipts_by_the_ledger_hold(tmp_path: Path) -> None:
    """One of the first day with the first key, one of today with the hand-overs."""
    path, clock = samples.make(tmp_path), ManualClock()
    log = Log(path, clock, samples.BOOT, samples.SETTINGS)
    log.append(samples.event(1))
    first = tmp_path / "first"
    first.write_text(log.prove(0))
    clock.advance(DAY_S)
    last = log.append(samples.event(2)).seq
    later = tmp_path / "later"
    later.write_text(log.prove(last))
    hand_over = tmp_path / "handover"
    hand_over.write_text(log.handover(1))
    key = log.keys()[0].key
    log.close()
    assert result("--receipt", first, "--key", key) == (WHOLE, None, "")
    given = ["--receipt", later, "--key", key]
    assert ask(*given)["exit"] == INCOMPLETE
    assert result(*given, "--handover", hand_over) == (WHOLE, None, "")
    assert result(path, *given) == (WHOLE, None, "")


def test_a_record_is_checked_while_the_ledger_runs(tmp_path: Path) -> None:
    """What still waits in the write-ahead log counts, and the running ledger is not disturbed."""
    log = samples.opened(samples.make(tmp_path))
    log.append_many([samples.event(number) for number in range(300)])
    log.checkpoint()
    last = log.append(samples.event(300)).seq
    report = ask(log.path, "--key", log.keys()[0].key)
    assert (report["exit"], report["entries"]) == (WHOLE, last + 1)
    assert [row["entries"] for row in report["ranges"]] == [0, 300, 1]
    assert log.append(samples.event(301)).seq == last + 1
    log.close()


ATTACKS: dict[str, tuple[str, ...]] = {
    "one entry changed": (
        "UPDATE entries SET entry = CAST(replace(entry, 'usr_', 'usr-') AS BLOB) WHERE seq = 100",
    ),
    "the head's hash changed": ("UPDATE head SET leaf = zeroblob(32)",),
    "one entry deleted": ("DELETE FROM entries WHERE seq = 100",),
    "two entries swapped": (
        "UPDATE entries SET seq = -1 WHERE seq = 100",
        "UPDATE entries SET seq = 100 WHERE seq = 99",
        "UPDATE entries SET seq = 99 WHERE seq = -1",
    ),
    "the tail cut": ("DELETE FROM entries WHERE seq > 500", "UPDATE head SET size = 501"),
    "a checkpoint of a hand-over gone": ("DELETE FROM checkpoints WHERE size = 181",),
    "an epoch gone": ("DELETE FROM epochs WHERE number = 1",),
    "a key replaced": ("UPDATE epochs SET key = replace(key, 'A', 'B') WHERE number = 2",),
    "a tile changed": ("UPDATE tiles SET hashes = zeroblob(8192) WHERE idx = 1",),
    "a prefix let go by nobody": (
        "UPDATE head SET pruned = 256", "DELETE FROM entries WHERE seq < 150",
    ),
}  # fmt: skip


def copied(path: Path, target: Path) -> Path:
    target.write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize("name", ATTACKS)
def test_both_verifiers_find_it(name: str, record: tuple[Path, str], tmp_path: Path) -> None:
    """Whatever somebody does to the file without a key, neither calls it whole."""
    path = copied(record[0], tmp_path / "copy.db")
    samples.attack(path, *((sql, ()) for sql in ATTACKS[name]))
    assert ask(path, "--key", record[1])["exit"] == TAMPERED
    assert appliance_says(path) != ""


@pytest.mark.parametrize("kind", ["trigger", "index"])
def test_nothing_hides_behind_the_name_of_another_thing(
    kind: str, record: tuple[Path, str], tmp_path: Path
) -> None:
    """A trigger may be named like a table, an index like a trigger: both rows count."""
    path = copied(record[0], tmp_path / "copy.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if kind == "trigger":
            connection.execute(
                "CREATE TRIGGER epochs BEFORE INSERT ON checkpoints BEGIN SELECT RAISE(IGNORE); END"
            )
        else:
            connection.execute("CREATE INDEX head_no_delete ON entries (entry)")
        # Before the thing whose name it has, which then looks as if it were the only one.
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_schema SET rowid = rowid + 1000 WHERE rowid >= (SELECT min(rowid) "
            "FROM sqlite_schema WHERE name IN ('epochs', 'head_no_delete') GROUP BY name "
            "HAVING count(*) = 2)"
        )
        connection.execute(
            "UPDATE sqlite_schema SET rowid = 900 "
            "WHERE type = ? AND name IN ('epochs', 'head_no_delete') AND rowid = "
            "(SELECT max(rowid) FROM sqlite_schema)",
            (kind,),
        )
    code, _, what = result(path, "--key", record[1])
    assert (code, what) == (TAMPERED, "two of its tables, indexes or triggers have one name")


def test_yesterdays_copy_is_found_with_an_anchor_by_both(
    record: tuple[Path, str], tmp_path: Path
) -> None:
    """Whole in itself; one checkpoint of today, kept elsewhere, tells that it is old."""
    path = samples.make(tmp_path)
    key = write(path, days=1, each=20)
    old = copied(path, tmp_path / "old.db")
    write(path, days=1, each=20)
    anchors = path.with_suffix(".anchors")
    assert ask(old, "--key", key)["exit"] == WHOLE
    assert appliance_says(old) == ""
    assert result(old, "--key", key, "--anchor", anchors / "newest.checkpoint")[:2] == (
        TAMPERED,
        20,
    )
    with pytest.raises(ApplianceError):
        verify.verify_file(old, samples.places(old, anchors), processes=1)


EVERYTHING = (
    "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name",
    "SELECT * FROM meta ORDER BY name",
    "SELECT * FROM head",
    "SELECT * FROM entries ORDER BY seq",
    "SELECT * FROM tiles ORDER BY level, idx",
    "SELECT * FROM checkpoints ORDER BY size",
    "SELECT * FROM epochs ORDER BY number",
)


def content(path: Path) -> list[list[Any]]:
    """Return everything the record consists of: the schema and every row of every table."""
    where = f"{path.as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(where, uri=True)) as connection:
        return [connection.execute(query).fetchall() for query in EVERYTHING]


def flips(size: int) -> list[tuple[int, int]]:
    """Return the same 500 places each time: (byte, bit), spread over the file."""
    made = [hashlib.sha256(f"flip {number}".encode()).digest() for number in range(FLIPS)]
    return [(int.from_bytes(digest[:8], "big") % size, digest[8] % 8) for digest in made]


@pytest.mark.parametrize("part", range(5))
def test_each_of_500_flipped_bits_is_found_or_part_of_nothing(
    record: tuple[Path, str], tmp_path: Path, part: int
) -> None:
    """Both verifiers agree; where they find nothing, every row reads as it was written."""
    good = record[0].read_bytes()
    before, path = content(record[0]), tmp_path / "flipped.db"
    unseen = 0
    for at, bit in flips(len(good))[part::5]:
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
        report, said = ask(path, "--key", record[1]), appliance_says(path)
        found = report.get("first_bad", {"what": ""})
        assert (report["exit"] == WHOLE) == (said == ""), (at, bit, said, found)
        assert "the input cannot be read" not in found["what"], (at, bit, found)
        if said == "":
            unseen += 1
            assert content(path) == before, (at, bit)
    assert unseen < FLIPS // 5 // 2, "most bytes of the file are part of the record"
