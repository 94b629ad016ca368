"""`kill -9` of the ledger at any moment under load: nothing that it said was lost.

APPLIANCE_FAULT_ROUNDS sets how often (40 unless told; `make faults` and CI: 200).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from appliance.audit.anchors import Anchor
from appliance.audit.checkpoint import SignedCheckpoint
from appliance.audit.client import LedgerClient
from appliance.audit.ledger import Receipt
from appliance.audit.log import Log
from appliance.audit.verify import verify_file
from appliance.clock import System
from tests.faults.lean_ledger import DAY_S, Caller, LeanLedger, Promises, keys_of, lean, table
from tests.faults.lean_process import RESERVE_BYTES, SETTINGS
from tests.simulators import auditor
from tests.simulators.ledger_service import LedgerService
from tests.unit.audit import samples

ROUNDS = int(os.environ.get("APPLIANCE_FAULT_ROUNDS", "40"))
CALLERS = 12
AUDIT_EVERY = 20
NOON = 1_800_014_400.0  # 2027-01-15T12:00:00Z
FIRST = 4_096
LOAD_S, START_S, STOP_S = 0.06, 0.04, 0.02
# What the ledger is busy with, beside its callers, when it is killed.
KINDS = ("load", "hand-over", "sign", "prune", "start", "stop")


class Trial:
    """One record that lives through many kills, and everything that was promised about it."""

    def __init__(self, ledger: LeanLedger, seed: int) -> None:
        self.ledger = ledger
        self.random = random.Random(seed)  # noqa: S311 - a reproducible moment, not a secret
        self.now = NOON
        self.promised = Promises()
        self.notes: set[str] = set()
        self.seen: dict[int, tuple[str | None, bytes]] = {}
        self.pruned = 0

    def round(self, number: int) -> None:
        """Start the ledger, let it work, and kill it."""
        kind = KINDS[number % len(KINDS)]
        prune = self.to_prune() if kind == "prune" else ()
        self.now += DAY_S / 2
        speed = 100 * DAY_S if kind == "hand-over" else 1
        self.ledger.start(self.now, speed=speed, sign=kind == "sign", prune=prune)
        if kind == "start":
            time.sleep(self.random.uniform(0, START_S))
            self.keep(self.ledger.kill())
            return
        self.ledger.ready()
        callers = [Caller(self.ledger.socket, f"{number}.{one}") for one in range(CALLERS)]
        if number // len(KINDS) % 2:  # every other time it is well under way, however slow it is
            self.keep(self.ledger.said("signed" if kind == "sign" else "pruned" if prune else None))
            assert callers[0].under_way.wait(20)
        time.sleep(self.random.uniform(0, LOAD_S))
        if kind == "stop":
            self.ledger.begin_to_stop()
            time.sleep(self.random.uniform(0, STOP_S))
        self.keep(self.ledger.kill())
        for caller in callers:
            self.settle(caller)

    def to_prune(self) -> tuple[int, ...]:
        """Return places up to which may go what was seen already, one tile further each."""
        return tuple(range(self.pruned + 256, max(self.seen, default=0) - 255, 256))

    def settle(self, caller: Caller) -> None:
        """Keep what a caller was told."""
        caller.join(20)
        assert not caller.is_alive()
        assert not caller.promises.refused
        self.promised.receipts |= caller.promises.receipts
        self.promised.doubtful |= caller.promises.doubtful

    def keep(self, said: list[dict[str, Any]]) -> None:
        """Keep the checkpoints that were handed out."""
        for line in said:
            assert line["what"] in {"ready", "signed", "pruned"}, line
            if line["what"] == "signed":
                self.notes.add(line["note"])

    def audit(self) -> None:
        """Start and stop in good order, and hold the record against every promise."""
        self.now += DAY_S
        self.ledger.start(self.now)
        self.ledger.ready()
        self.ledger.stop()
        record = self.ledger.record
        given = [Anchor("given", SignedCheckpoint.parse(note), True) for note in self.notes]
        found = verify_file(record, given=given)
        assert found.signed == found.entries == table(record, "SELECT size FROM head")[0][0]
        assert found.anchored == max((one.checkpoint.size for one in given), default=0)
        [(newest,)] = table(record, "SELECT max(number) FROM epochs")
        assert keys_of(record) == [f"{newest}.key"]
        assert os.listdir(record.with_suffix(".anchors")) == ["newest.checkpoint"]
        below = "SELECT seq FROM {} WHERE seq < ? ORDER BY seq"
        kept, openings = (
            table(record, below.format(t), found.pruned) for t in ("entries", "epochs")
        )
        assert kept == openings  # a pruning that was cut off was finished
        self.read(record)
        self.pruned = found.pruned

    def read(self, record: Path) -> None:
        """Note every entry that is new, before any of them is let go."""
        last = max(self.seen, default=-1)
        for seq, data in table(record, "SELECT seq, entry FROM entries WHERE seq > ?", last):
            leaf = hashlib.sha256(b"\x00" + data).digest()
            self.seen[seq] = (json.loads(data)["entity"], leaf)

    def leaf_now(self, seq: int) -> bytes:
        """Return an entry's leaf hash as the record has it now, pruned or not."""
        query = "SELECT hashes FROM tiles WHERE level = 0 AND idx = ?"
        tile = table(self.ledger.record, query, seq // 256)
        if tile:
            return bytes(tile[0][0][32 * (seq % 256) :][:32])
        query = "SELECT entry FROM entries WHERE seq = ?"
        return hashlib.sha256(b"\x00" + table(self.ledger.record, query, seq)[0][0]).digest()


def grow(record: Path, count: int) -> None:
    """Add entries, so that there is something to let go of."""
    log = Log(record, System(), samples.BOOT, SETTINGS)
    for first in range(0, count, 512):
        log.append_many([samples.event(first + n, entity=None) for n in range(512)])
    log.close()


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A record after all rounds."""
    record = tmp_path_factory.mktemp("kills") / "audit.db"
    Log.create(record, "ward/audit/0123456789abcdef", RESERVE_BYTES)
    grow(record, FIRST)
    with lean(record) as ledger:
        trial = Trial(ledger, seed=20_260_131)
        trial.audit()
        for number in range(ROUNDS):
            trial.round(number)
            if number % AUDIT_EVERY == AUDIT_EVERY - 1:
                trial.audit()
        trial.audit()
    return trial


def test_every_acknowledged_event_is_there_once_in_its_place(trial: Trial) -> None:
    """At the number and with the leaf hash that its receipt names, also if pruned since."""
    assert len(trial.promised.receipts) > ROUNDS
    for name, receipt in trial.promised.receipts.items():
        assert trial.seen[receipt.seq] == (name, receipt.leaf)
        assert trial.leaf_now(receipt.seq) == receipt.leaf


def test_nothing_is_recorded_twice_and_nothing_nobody_sent(trial: Trial) -> None:
    """An event whose answer was lost is there once or not at all."""
    counted = Counter(name for name, _ in trial.seen.values() if name is not None)
    assert set(counted.values()) == {1}
    assert counted.keys() <= trial.promised.receipts.keys() | trial.promised.doubtful
    assert not trial.promised.receipts.keys() & trial.promised.doubtful


def test_the_kills_fell_into_every_kind_of_work(trial: Trial) -> None:
    """Else the rounds would show nothing: epochs, checkpoints and prunings all happened."""
    record = trial.ledger.record
    assert table(record, "SELECT count(*) FROM epochs")[0][0] > ROUNDS // 8
    assert len(trial.notes) >= ROUNDS // len(KINDS) // 2
    assert trial.pruned > 0
    assert trial.promised.doubtful


def test_the_stand_alone_verifier_agrees(trial: Trial, tmp_path: Path) -> None:
    """From the first key on paper, through every hand-over, to the newest note handed out."""
    record = trial.ledger.record
    newest = tmp_path / "newest.checkpoint"
    newest.write_text(
        max(trial.notes, key=lambda note: SignedCheckpoint.parse(note).checkpoint.size)
    )
    [(key,)] = table(record, "SELECT value FROM meta WHERE name = 'key'")
    report = auditor.ask(record, "--key", key, "--anchor", newest)
    assert report["exit"] == auditor.WHOLE, report


def test_receipts_are_what_the_protocol_says(trial: Trial) -> None:
    """Numbers never repeat: no two events were told the same place."""
    receipts: list[Receipt] = list(trial.promised.receipts.values())
    assert len({receipt.seq for receipt in receipts}) == len(receipts)


def test_a_killed_worker_of_the_ledgers_service_comes_back(tmp_path: Path) -> None:
    """The same behind gunicorn: its master starts another worker, and callers go on."""
    record = tmp_path / "audit.db"
    Log.create(record, "ward/audit/0123456789abcdef", RESERVE_BYTES)
    service = LedgerService(record, tmp_path / "ledger.sock").start()
    receipts: dict[str, Receipt] = {}
    try:
        for number in range(3):
            callers = [Caller(service.socket, f"{number}.{one}") for one in range(CALLERS)]
            assert callers[0].under_way.wait(20)
            worker = service.worker_pid()
            os.kill(worker, signal.SIGKILL)
            for caller in callers:
                caller.join(20)
                receipts |= caller.promises.receipts
            wait_for_another(service, worker)
        with contextlib.closing(LedgerClient(service.socket)) as client:
            assert client.verify().entries >= len(receipts)
    finally:
        service.stop()
    rows = table(record, "SELECT seq, entry FROM entries")
    stored = {seq: json.loads(data)["entity"] for seq, data in rows}
    assert {receipt.seq: name for name, receipt in receipts.items()}.items() <= stored.items()
    assert verify_file(record).signed == len(rows)


def worker_of(service: LedgerService) -> int | None:
    with contextlib.suppress(IndexError):
        return service.worker_pid()
    return None


def wait_for_another(service: LedgerService, worker: int) -> None:
    """Wait until another worker than the killed one answers."""
    until = time.monotonic() + 20
    with contextlib.closing(LedgerClient(service.socket)) as client:
        while worker_of(service) in {None, worker} or not client.answers():
            assert time.monotonic() < until
            time.sleep(0.02)
