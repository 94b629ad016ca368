"""`make bench-record`: the price of recording, over a bare SQLite commit of the same bytes.

Usage: python -m tests.bench.record [FOLDER]. FOLDER must lie on the disk to be measured; a
folder in memory would measure no fsync. The machine should be quiet. The record of ten million
entries is made once, in about ten minutes and 12 GB, and kept; on a smaller disk it has one
million, and `growth_entries` says so.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from appliance.audit.client import LedgerClient
from appliance.audit.verify import verify_file
from tests.bench import growth, harness
from tests.simulators.ledger_service import LedgerService
from tests.unit.audit import samples

SINGLE = 2_000
GROUPED = 8_000
CALLERS = 32
VERIFIED = 300_000
GROWTH_BYTES = 20_000_000_000


class Record:
    """The subjects, each in a fresh folder on the same disk."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._entry = self._sample()
        self._long: Path | None = None

    def bare(self) -> Mapping[str, float]:
        """SQLite alone: one row with the bytes of an entry, one commit, WAL, FULL."""
        with tempfile.TemporaryDirectory(dir=self._disk) as folder:
            connection = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
            for pragma in ("journal_mode=WAL", "synchronous=FULL"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("CREATE TABLE entries (seq INTEGER PRIMARY KEY, entry BLOB)")

            def append(number: int) -> None:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO entries VALUES (?, ?)", (number, self._entry))
                connection.execute("COMMIT")

            seconds = _timed(append, SINGLE)
            connection.close()
        return {"us_per_event": seconds / SINGLE * 1e6}

    def inside(self) -> Mapping[str, float]:
        """`Log.append` from one thread, and verification of what it wrote."""
        with tempfile.TemporaryDirectory(dir=self._disk) as folder:
            log = samples.opened(samples.make(Path(folder)))
            seconds = _timed(lambda number: log.append(samples.event(number)), SINGLE)
            log.close()
        return {"us_per_event": seconds / SINGLE * 1e6}

    def inside_32(self) -> Mapping[str, float]:
        """`Log.append` from 32 threads."""
        with tempfile.TemporaryDirectory(dir=self._disk) as folder:
            log = samples.opened(samples.make(Path(folder)))
            seconds = _timed_by_many(lambda number: log.append(samples.event(number)), GROUPED)
            figures = {"events_per_s": GROUPED / seconds, "per_commit": GROUPED / log.commits}
            log.close()
        return figures

    def called(self) -> Mapping[str, float]:
        """The same through the ledger's socket: one caller, then 32."""
        with tempfile.TemporaryDirectory(dir=self._disk) as folder:
            record = samples.make(Path(folder))
            service = LedgerService(record, Path(folder) / "s").start()
            client = LedgerClient(service.socket)
            append = lambda number: client.append(samples.event(number))  # noqa: E731
            single = _timed(append, SINGLE)
            grouped = _timed_by_many(append, GROUPED)
            client.close()
            service.stop()
        return {
            "us_per_event": single / SINGLE * 1e6,
            "events_per_s_1": SINGLE / single,
            "events_per_s_32": GROUPED / grouped,
        }

    def verified(self) -> Mapping[str, float]:
        """A whole record verified, chain, tree and checkpoints, on one core and on two."""
        record = self._long_record()
        seconds = {}
        for processes in (1, 2):
            started = time.perf_counter()
            found = verify_file(record, processes=processes)
            seconds[processes] = time.perf_counter() - started
        # The newest checkpoint alone, and what came after it: what a start has to read.
        started = time.perf_counter()
        samples.opened(record).close()
        start_ms = (time.perf_counter() - started) * 1e3
        return {
            "events_per_s_1": found.entries / seconds[1],
            "events_per_s_2": found.entries / seconds[2],
            "start_ms": start_ms,
        }

    def _long_record(self) -> Path:
        if self._long is None:
            self._long = samples.make(Path(tempfile.mkdtemp(dir=self._disk)))
            log = samples.opened(self._long)
            for first in range(0, VERIFIED, 500):
                log.append_many([samples.event(first + n) for n in range(500)])
            log.close()
        return self._long

    def close(self) -> None:
        if self._long is not None:
            shutil.rmtree(self._long.parent)

    def _sample(self) -> bytes:
        folder = Path(tempfile.mkdtemp(dir=self._disk))
        try:
            return samples.rows(samples.make(folder, 1))[0][1]
        finally:
            shutil.rmtree(folder)


def main() -> None:
    disk = Path(sys.argv[1] if len(sys.argv) > 1 else harness.BUILD)
    disk.mkdir(parents=True, exist_ok=True)
    record = Record(disk)
    rows = harness.measure(
        {
            "bare sqlite commit": record.bare,
            "inside the ledger": record.inside,
            "inside, 32 threads": record.inside_32,
            "through the socket": record.called,
            "verification": record.verified,
        }
    )
    record.close()
    kept = disk / f"growth-{growth.LARGE}.index.db"
    room = kept.exists() or shutil.disk_usage(disk).free > GROWTH_BYTES
    grown, growing = growth.measured(disk, growth.LARGE if room else growth.LARGE // 10)
    bare = harness.median(rows, "bare sqlite commit", "us_per_event")
    inside = harness.median(rows, "inside the ledger", "us_per_event")
    called = harness.median(rows, "through the socket", "us_per_event")
    one = harness.median(rows, "through the socket", "events_per_s_1")
    many = harness.median(rows, "through the socket", "events_per_s_32")
    harness.report(
        "record",
        [*rows, *grown],
        {
            "append_one_vs_bare": inside / bare,
            "append_call_vs_bare": called / bare,
            "append_group_vs_single": many / one,
            "events_per_commit_32": harness.median(rows, "inside, 32 threads", "per_commit"),
            "verify_one_core": harness.median(rows, "verification", "events_per_s_1"),
            "verify_two_cores": harness.median(rows, "verification", "events_per_s_2"),
            **growing,
        },
    )


def _timed(append: Callable[[int], object], count: int) -> float:
    append(0)  # opening, preparing and growing the file once is not what is measured
    started = time.perf_counter()
    for number in range(1, count + 1):
        append(number)
    return time.perf_counter() - started


def _timed_by_many(append: Callable[[int], object], count: int) -> float:
    def work() -> None:
        for number in range(count // CALLERS):
            append(number)

    threads = [threading.Thread(target=work) for _ in range(CALLERS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
