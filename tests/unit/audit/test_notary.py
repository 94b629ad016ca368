"""When a new key is due, and a crash at any moment of the hand-over to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.audit.checkpoint import SignedCheckpoint, VerifierKey
from appliance.audit.keys import KeyFolder
from appliance.audit.log import Log
from appliance.audit.verify import verify_file
from appliance.errors import ConflictError, VerificationError
from tests.unit.audit import samples

DAY = 86_400
TEN_YEARS = 3_653 * DAY
ROOT = Path(__file__).parents[3]


def opened(tmp_path: Path) -> tuple[Log, samples.SetClock]:
    clock = samples.SetClock()
    return samples.opened(samples.make(tmp_path), clock=clock), clock


def secret(path: Path, epoch: int) -> bytes:
    return (path.with_name("audit.keys") / f"{epoch}.key").read_bytes()


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("seconds", [DAY, -DAY, TEN_YEARS, -TEN_YEARS])
def test_another_day_has_another_key(tmp_path: Path, seconds: int) -> None:
    """When the date is another, forward or back, the first event comes after a new key."""
    log, clock = opened(tmp_path)
    log.append(samples.event())
    clock.seconds += seconds
    assert log.append(samples.event()).seq == 2
    keys = log.keys()
    assert [key.seq for key in keys] == [None, 1]
    assert log.append(samples.event()).seq == 3
    log.close()
    assert verify_file(log.path).entries == 4


def test_same_day_keeps_its_key(tmp_path: Path) -> None:
    """Until midnight (UTC) nothing is handed over, and at midnight it is."""
    log, clock = opened(tmp_path)
    log.append(samples.event())
    clock.seconds = samples.MORNING // DAY * DAY + DAY - 0.001
    log.append(samples.event())
    assert len(log.keys()) == 1
    clock.seconds += 0.001
    log.append(samples.event())
    assert len(log.keys()) == 2
    log.close()


def test_day_of_running_has_another_key_whatever_the_clock_says(tmp_path: Path) -> None:
    """A clock that stands still, or is set back each night, does not keep a key alive."""
    log, clock = opened(tmp_path)
    log.append(samples.event())
    clock.ns += (DAY - 1) * 10**9
    log.append(samples.event())
    assert len(log.keys()) == 1
    clock.ns += 10**9
    log.append(samples.event())
    assert len(log.keys()) == 2
    log.append(samples.event())
    assert len(log.keys()) == 2
    log.close()


def test_key_is_handed_over_though_nobody_appends(tmp_path: Path) -> None:
    """A quiet second is enough: on a day without events there is a key and an entry too."""
    log, clock = opened(tmp_path)
    log.append(samples.event())
    clock.go(DAY)
    until = time.monotonic() + 20
    while len(log.keys()) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    log.close()
    assert verify_file(log.path).entries == 2


def test_empty_record_of_yesterday_keeps_its_first_key(tmp_path: Path) -> None:
    """The first day begins with the first event, not when the record was made."""
    path = samples.make(tmp_path)
    log = samples.opened(path, clock=samples.SetClock(samples.MORNING + TEN_YEARS))
    assert log.append(samples.event()).seq == 0
    log.close()


def test_restart_on_the_next_day_hands_over(tmp_path: Path) -> None:
    """The day on which an epoch began is read from the record."""
    path = samples.make(tmp_path, 3, samples.SetClock())
    for days, epochs in ((0, 1), (1, 2), (1, 2), (2, 3)):
        log = samples.opened(path, clock=samples.SetClock(samples.MORNING + days * DAY))
        log.append(samples.event())
        assert len(log.keys()) == epochs
        log.close()


def test_old_key_is_destroyed(tmp_path: Path) -> None:
    """After a hand-over the bytes of the old key are in no file, and one key is there."""
    log, clock = opened(tmp_path)
    log.append(samples.event())
    for epoch in range(3):
        old = secret(log.path, epoch)
        assert old in files(tmp_path)
        clock.go(DAY)
        log.append(samples.event())
        assert old not in files(tmp_path)
    assert [path.name for path in (tmp_path / "audit.keys").iterdir()] == ["3.key"]
    log.close()


def test_destroying_overwrites_under_every_name(tmp_path: Path) -> None:
    """Whoever made a link to a key file keeps zeros."""
    keys = KeyFolder(tmp_path / "keys", samples.ORIGIN)
    keys.create()
    keys.make(4)
    raw = (tmp_path / "keys" / "4.key").read_bytes()
    (tmp_path / "kept").hardlink_to(tmp_path / "keys" / "4.key")
    keys.destroy(4)
    keys.destroy(4)
    assert (tmp_path / "kept").read_bytes() == bytes(32)
    assert raw != bytes(32)
    assert keys.present() == []
    assert keys.load(4) is None


def test_unused_and_older_keys_are_destroyed_at_start(tmp_path: Path) -> None:
    """What a crash left of a hand-over that did not come about, or was through, goes."""
    path = samples.make(tmp_path, 3, samples.SetClock())
    keys = KeyFolder(tmp_path / "audit.keys", samples.ORIGIN)
    left = [keys.make(number) for number in (1, 2)]
    seeds = [secret(path, number) for number in (1, 2)]
    shutil.copy(tmp_path / "audit.keys" / "2.key", tmp_path / "audit.keys" / ".2.key.0a1b2c3d.new")
    log = samples.opened(path, clock=samples.SetClock())
    assert keys.present() == [0]
    assert not any(seed in files(tmp_path) for seed in seeds)
    assert str(left[0].key) != log.keys()[0].key
    log.close()


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Each right of group or others on a key is refused."""
    keys = KeyFolder(tmp_path / "keys", samples.ORIGIN)
    keys.create()
    keys.make(0)
    for mode in (0o440, 0o404, 0o420, 0o410, 0o777):
        (tmp_path / "keys" / "0.key").chmod(mode)
        with pytest.raises(VerificationError, match="read by others"):
            keys.load(0)


def test_keys_of_another_record_are_left_alone(tmp_path: Path) -> None:
    """A new record is not made over the keys of one that was lost."""
    path = samples.make(tmp_path, 3)
    raw = secret(path, 0)
    path.unlink()
    with pytest.raises(ConflictError, match="another record"):
        Log.create(path, samples.ORIGIN, samples.RESERVE_BYTES)
    assert secret(path, 0) == raw


def test_checkpoints_come_with_the_entries(tmp_path: Path) -> None:
    """A thousand entries have a checkpoint, in the same commit; so have older ones in a minute."""
    log, clock = opened(tmp_path)
    log.append_many([samples.event(n) for n in range(999)])
    assert samples.read(log.path, "SELECT size FROM checkpoints") == []
    log.append(samples.event())
    assert samples.read(log.path, "SELECT size FROM checkpoints") == [(1_000,)]
    log.append(samples.event())
    clock.go(59)
    log.append(samples.event())
    assert samples.read(log.path, "SELECT max(size) FROM checkpoints") == [(1_000,)]
    clock.go(1)
    log.append(samples.event())
    assert samples.read(log.path, "SELECT max(size) FROM checkpoints") == [(1_003,)]
    assert log.checkpoint() == log.checkpoint()
    newest = (tmp_path / "audit.anchors" / "newest.checkpoint").read_text()
    assert newest == log.checkpoint()
    log.close()


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bool]]:
    """Copies of one record, each with a hand-over that was killed one step later."""
    folder = tmp_path_factory.mktemp("killed")
    samples.make(folder, 5, samples.SetClock())
    ran = subprocess.run(
        [sys.executable, "-m", "tests.unit.audit.hand_over_process", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return folder, json.loads(ran.stdout)


def test_crash_at_each_step_of_a_hand_over(killed: tuple[Path, list[bool]]) -> None:
    """Whatever step it dies at: whole, opens again, one hand-over, one key, the old one gone."""
    folder, ended = killed
    assert len(ended) > 15
    old = secret(folder / "audit.db", 0)
    handed_over = []
    for step in range(len(ended)):
        state = folder / str(step)
        path = state / "audit.db"
        handed_over.append(verify_file(path).entries > 5)
        log = samples.opened(path, clock=samples.SetClock(samples.MORNING + DAY))
        log.append(samples.event())
        keys = log.keys()
        assert [key.number for key in keys] == [0, 1]
        assert [item.name for item in (state / "audit.keys").iterdir()] == ["1.key"]
        assert old not in files(state)
        signed = SignedCheckpoint.parse(log.checkpoint())
        signed.verify(VerifierKey.parse(keys[1].key))
        log.close()
        assert verify_file(path).signed == verify_file(path).entries
    assert handed_over == sorted(handed_over)
    assert handed_over[0] is False
    assert handed_over[-1] is True
