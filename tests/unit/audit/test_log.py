"""The one writer: durable, in order, grouped, alone, and closed to what it cannot do."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.audit.entry import leaf_hash
from appliance.audit.log import Log
from appliance.audit.verify import verify_file
from appliance.errors import (
    BadInputError,
    RecordUnavailableError,
    TooLargeError,
)
from tests.unit.audit import samples


def test_receipt_names_the_entry(log: Log) -> None:
    """A receipt carries the number, the time and the leaf hash of what is in the file."""
    log.append(samples.event(0))
    receipt = log.append(samples.event(1))
    seq, data, leaf = samples.rows(log.path)[1]
    assert (receipt.seq, receipt.leaf, receipt.t) == (seq, leaf, json.loads(data)["t"])
    assert leaf == leaf_hash(data)


def test_acknowledged_event_is_in_the_file_at_once(log: Log) -> None:
    """When append returns, another connection finds the entry."""
    log.append(samples.event(5))
    assert json.loads(samples.rows(log.path)[0][1])["entity"] == "msg_00000005"


def test_head_follows_every_append(log: Log) -> None:
    """The head is the newest entry's."""
    receipt = log.append(samples.event())
    assert (log.head().size, log.head().leaf) == (1, receipt.leaf)


def test_many_threads_share_commits(log: Log) -> None:
    """Events that wait together are committed together, and each gets its own receipt."""
    with ThreadPoolExecutor(32) as pool:
        receipts = list(pool.map(lambda n: log.append(samples.event(n)), range(640)))
    assert sorted(receipt.seq for receipt in receipts) == list(range(640))
    assert log.commits < 320
    stored = {seq: leaf for seq, _, leaf in samples.rows(log.path)}
    assert all(stored[receipt.seq] == receipt.leaf for receipt in receipts)


def test_group_has_at_most_the_set_size(tmp_path: Path) -> None:
    """`max_group` bounds a commit: with 1, every event has its own."""
    log = samples.opened(samples.make(tmp_path), replace(samples.SETTINGS, max_group=1))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: log.append(samples.event(n)), range(40)))
    assert log.commits == 40
    log.close()


def test_bad_event_in_a_group_costs_only_itself(log: Log) -> None:
    """An event that cannot be recorded is refused; those around it are recorded without a gap."""

    def attempt(number: int) -> object:
        try:
            return log.append(samples.event(number, content={"x": "y" * 65_535 * (number % 2)}))
        except TooLargeError:
            return None

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(attempt, range(64)))
    assert sum(result is None for result in results) == 32
    assert log.verify().entries == 32


def test_unknown_action_is_refused(log: Log) -> None:
    """An action outside the closed list is refused and leaves no entry."""
    with pytest.raises(BadInputError):
        log.append(samples.event(action="answer.invent"))
    assert log.head().size == 0


def test_object_that_is_no_event_is_refused(log: Log) -> None:
    """A fault of a caller in this process is refused, and the writer lives on."""
    with pytest.raises(BadInputError):
        log.append("not an event")  # type: ignore[arg-type]  # the point of the test
    assert log.append(samples.event()).seq == 0


def test_clock_set_back_is_recorded_as_stated(tmp_path: Path) -> None:
    """A wall clock that goes back is recorded as it was; order is by number."""
    clock = samples.SetClock()
    log = samples.opened(samples.make(tmp_path), clock=clock)
    first = log.append(samples.event(0))
    clock.seconds -= 60
    second = log.append(samples.event(1))
    assert (first.seq, second.seq) == (0, 1)
    assert first.t > second.t
    assert log.verify().entries == 2
    log.close()


def test_boot_and_monotonic_time_are_recorded(log: Log) -> None:
    """Each entry names the boot, and its monotonic time does not go back."""
    for number in range(3):
        log.append(samples.event(number))
    entries = [json.loads(data) for _, data, _ in samples.rows(log.path)]
    assert {entry["boot"] for entry in entries} == {samples.BOOT}
    assert [entry["mono"] for entry in entries] == sorted(entry["mono"] for entry in entries)


def test_record_is_private(log: Log) -> None:
    """Nobody but the owner may read the record or what lies beside it."""
    log.append(samples.event())
    log.checkpoint()
    modes = {item.name: item.stat().st_mode & 0o777 for item in log.path.parent.rglob("*")}
    assert modes.pop("audit.keys") == modes.pop("audit.anchors") == 0o700
    assert modes.pop("0.key") == 0o400
    assert set(modes.values()) == {0o600}, modes


def test_idle_record_lies_in_the_file_alone(log: Log, tmp_path: Path) -> None:
    """Seconds after the last event, a copy of audit.db alone is the whole record."""
    log.append(samples.event())
    deadline = time.monotonic() + 20
    while b"msg_00000000" not in log.path.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.05)
    copy = tmp_path / "copy" / "audit.db"
    copy.parent.mkdir()
    copy.write_bytes(log.path.read_bytes())
    assert verify_file(copy).entries == log.head().size == 1


def test_closed_record_lies_in_the_file_alone(tmp_path: Path) -> None:
    """After close there is no side log."""
    path = samples.make(tmp_path, 3)
    assert not path.with_name("audit.db-wal").exists()


def test_slow_reader_does_not_stop_appends(log: Log) -> None:
    """A reader that holds a snapshot keeps the side log, and no caller waits for it."""
    log.append(samples.event(0))
    reader = sqlite3.connect(log.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entries").fetchone()
    log.append(samples.event(1))
    time.sleep(1.2)
    started = time.monotonic()
    log.append(samples.event(2))
    assert time.monotonic() - started < 1
    reader.close()


def test_append_after_close_is_refused(log: Log) -> None:
    """A closed record refuses at once."""
    log.close()
    with pytest.raises(RecordUnavailableError):
        log.append(samples.event())


def test_close_under_load_leaves_nobody_waiting(log: Log) -> None:
    """Each caller either has a receipt for what is in the file, or was refused."""
    receipts: list[int] = []

    def work() -> None:
        try:
            while True:
                receipts.append(log.append(samples.event()).seq)
        except RecordUnavailableError:
            return

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    log.close()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(receipts) == [seq for seq, _, _ in samples.rows(log.path)]


def test_head_changed_behind_the_ledger_stops_it(log: Log) -> None:
    """When another program wrote to the record meanwhile, nothing more is appended."""
    log.append(samples.event(0))
    samples.attack(log.path, ("UPDATE head SET size = 0", ()))
    with pytest.raises(RecordUnavailableError):
        log.append(samples.event(1))
    with pytest.raises(RecordUnavailableError):
        log.append(samples.event(2))
    assert len(samples.rows(log.path)) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET entry = x''",
        "DELETE FROM entries",
        "INSERT OR REPLACE INTO entries VALUES (0, x'')",
        "UPDATE tiles SET hashes = x''",
        "DELETE FROM tiles",
        "UPDATE checkpoints SET note = ''",
        "DELETE FROM checkpoints",
        "UPDATE epochs SET key = ''",
        "DELETE FROM epochs",
        "UPDATE meta SET value = 'x'",
        "DELETE FROM meta",
        "DELETE FROM head",
    ],
)
def test_file_itself_refuses_changes(tmp_path: Path, statement: str) -> None:
    """SQL that changes or removes what was recorded is refused by the file's triggers."""
    path = samples.make(tmp_path, 256)
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()


def test_entries_are_exported_in_order_over_many_pages(log: Log) -> None:
    """An export is complete and in order, however many pages it takes."""
    samples.fill(log, 1_100)
    lines = b"".join(log.export("ndjson", samples.ANY)).splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1_100))


@pytest.mark.parametrize("action", ["record.epoch", "record.prune", "disk.full"])
def test_what_only_the_ledger_states_is_refused(log: Log, action: str) -> None:
    """Nobody can record a hand-over, a pruning or a full disk; others in the group are recorded."""
    forged = samples.event(action=action, content={"epoch": 1, "key": "k", "previous": "p"})
    first, refused, last = log.append_many([samples.event(0), forged, samples.event(1)])
    assert isinstance(refused, BadInputError)
    assert [first.seq, last.seq] == [0, 1]  # type: ignore[union-attr]  # both were recorded
    with pytest.raises(BadInputError, match="only the ledger"):
        log.append(forged)
    assert log.verify().entries == 2


class Failing(samples.SetClock):
    """A clock that can break, and tells when it was asked then."""

    def __init__(self) -> None:
        super().__init__()
        self.works = True
        self.asked = threading.Event()

    def now(self) -> float:
        if not self.works:
            self.asked.set()
            raise IndexError("there is no time")
        return super().now()


def test_fault_in_a_quiet_second_does_not_end_the_writer(tmp_path: Path) -> None:
    """Whatever goes wrong while nobody waits, the next event is recorded."""
    clock = Failing()
    log = samples.opened(samples.make(tmp_path), clock=clock)
    log.append(samples.event())
    clock.works = False
    assert clock.asked.wait(20)
    clock.works = True
    assert log.append(samples.event()).seq == 1
    log.close()


def test_no_events_are_no_entries(log: Log) -> None:
    """An empty list is answered with an empty list."""
    assert log.append_many([]) == []
    assert log.head().size == 0
