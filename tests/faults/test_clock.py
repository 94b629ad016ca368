"""A clock that jumps ten years, either way: order is by number, and nothing stops."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.audit.checkpoint import SignedCheckpoint, VerifierKey
from appliance.audit.log import Log
from appliance.audit.verify import verify_file
from appliance.errors import ApplianceError
from tests.faults.lean_ledger import DAY_S, keys_of, table
from tests.faults.lean_process import RESERVE_BYTES
from tests.simulators import auditor
from tests.simulators.manual_clock import ManualClock
from tests.unit.audit import samples

TEN_YEARS_S = 3_652 * DAY_S
JUMPS = {
    "forward": [TEN_YEARS_S],
    "back": [-TEN_YEARS_S],
    "to and fro": [TEN_YEARS_S, -TEN_YEARS_S, -TEN_YEARS_S, TEN_YEARS_S],
    "a second over midnight and back": [DAY_S * 2 / 3 + 1, -2, 2, -2, 2],
}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """An empty record."""
    path = tmp_path / "audit.db"
    Log.create(path, "ward/audit/0123456789abcdef", RESERVE_BYTES)
    return path


def opened(record: Path, clock: ManualClock) -> Log:
    return Log(record, clock, samples.BOOT, samples.SETTINGS)


def jump(clock: ManualClock, seconds: float) -> None:
    """Set the machine's clock, as `date -s` does: intervals are not touched by it."""
    clock.set_back(-seconds)


def entries_of(record: Path) -> list[dict[str, str]]:
    return [json.loads(data) for _, data in table(record, "SELECT seq, entry FROM entries")]


def check(record: Path) -> None:
    """Hold the record against everything that must be true after any jump."""
    found = verify_file(record)
    assert found.signed == found.entries
    numbers = [seq for (seq,) in table(record, "SELECT seq FROM entries ORDER BY seq")]
    assert numbers == list(range(found.entries))
    [(newest,)] = table(record, "SELECT max(number) FROM epochs")
    assert keys_of(record) == [f"{newest}.key"]
    [(key,)] = table(record, "SELECT value FROM meta WHERE name = 'key'")
    anchor = record.with_suffix(".anchors") / "newest.checkpoint"
    assert auditor.ask(record, "--key", key, "--anchor", anchor)["exit"] == auditor.WHOLE


@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("jumps", JUMPS.values(), ids=JUMPS)
def test_appending_goes_on(record: Path, jumps: list[float], restarts: bool) -> None:
    """Every jump over midnight makes a new key; the old one is gone; all is signed and whole."""
    clock = ManualClock()
    log = opened(record, clock)
    receipts = [log.append(samples.event(0))]
    for number, seconds in enumerate(jumps, 1):
        if restarts:
            log.close()
        jump(clock, seconds)
        if restarts:
            log = opened(record, clock)
        receipts.append(log.append(samples.event(number)))
        assert keys_of(record) == [f"{number}.key"]
    log.close()
    check(record)
    wanted = [(receipt.seq, receipt.t) for receipt in receipts]
    stated = {int(entry["seq"]): entry["t"] for entry in entries_of(record)}
    assert [(seq, stated[seq]) for seq, _ in wanted] == wanted
    assert [seq for seq, _ in wanted] == sorted(seq for seq, _ in wanted)


def test_the_time_is_recorded_as_the_clock_told_it(record: Path) -> None:
    """Ten years back stays visible: numbers go on, times do not, and `mono` tells which is true."""
    clock = ManualClock()
    log = opened(record, clock)
    before = log.append(samples.event(1))
    clock.advance(5)
    jump(clock, -TEN_YEARS_S)
    after = log.append(samples.event(2))
    log.close()
    assert after.seq > before.seq
    assert after.t < before.t
    first, *_, last = entries_of(record)
    assert int(last["mono"]) - int(first["mono"]) == 5_000_000


def test_a_clock_that_stands_still_does_not_keep_a_key(record: Path) -> None:
    """Set back to the same day again and again, the key still goes after a day of running."""
    clock = ManualClock()
    log = opened(record, clock)
    log.append(samples.event(1))
    for _ in range(3):
        clock.advance(DAY_S)
        jump(clock, -DAY_S)
        log.append(samples.event(1))
    log.close()
    assert keys_of(record) == ["3.key"]
    check(record)


def test_a_checkpoint_is_due_by_the_clock_that_nobody_sets(record: Path) -> None:
    """Sixty seconds of running sign what there is; ten years back do not delay it."""
    clock = ManualClock()
    log = opened(record, clock)
    log.append(samples.event(1))
    jump(clock, -60)
    clock.advance(60)
    last = log.append(samples.event(2))
    [(size,)] = table(record, "SELECT max(size) FROM checkpoints")
    assert size == last.seq + 1
    log.close()


def test_receipts_across_a_jump_hold(record: Path) -> None:
    """A receipt of an entry before the jump is signed by the key after it, and back again."""
    clock = ManualClock()
    log = opened(record, clock)
    first = log.append(samples.event(1)).seq
    old = log.checkpoint()
    for seconds in (TEN_YEARS_S, -2 * TEN_YEARS_S):
        jump(clock, seconds)
        log.append(samples.event(2))
    proof = log.prove(first)
    newest = VerifierKey.parse(log.keys()[-1].key)
    note = SignedCheckpoint.parse(proof.partition("\n\n")[2])
    assert note.verify(newest).size == log.head().size
    assert log.consistency(SignedCheckpoint.parse(old).checkpoint.size, note.note())
    log.close()
    check(record)


def test_a_key_that_cannot_be_destroyed_goes_as_soon_as_it_can(record: Path) -> None:
    """Tried again with every checkpoint, not only at the next start."""
    clock = ManualClock()
    log = opened(record, clock)
    log.append(samples.event(1))
    old, chattr = record.with_suffix(".keys") / "0.key", shutil.which("chattr")
    if (
        not chattr
        or subprocess.run([chattr, "+i", old], capture_output=True, check=False).returncode
    ):
        log.close()
        pytest.skip("no file can be held fast here")
    clock.advance(DAY_S)
    try:
        with pytest.raises(ApplianceError):
            log.append(samples.event(2))
    finally:
        subprocess.run([chattr, "-i", old], check=True)
    clock.advance(2)
    log.append(samples.event(3))
    log.checkpoint()
    assert keys_of(record) == ["1.key"]
    log.close()
    check(record)
