"""Two ledgers on one record: the second refuses, by whatever path it comes, and changes nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.audit.client import LedgerClient
from appliance.audit.log import Log
from appliance.audit.verify import verify_file
from tests.faults.lean_ledger import DAY_S, ROOT, LeanLedger, lean
from tests.faults.lean_process import RESERVE_BYTES
from tests.faults.small_disk import OWN_MOUNTS, can_mount
from tests.unit.audit import samples

NOON = 1_800_014_400.0
SECOND = (
    "import sys; from pathlib import Path; from tests.unit.audit import samples\n"
    "try: samples.opened(Path(sys.argv[1]))\n"
    "except Exception as error: sys.exit(f'{error.code}: {error.message}')\n"
)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[LeanLedger]:
    """A ledger that runs on a record in `state`."""
    record = tmp_path / "state" / "audit.db"
    record.parent.mkdir()
    Log.create(record, "ward/audit/0123456789abcdef", RESERVE_BYTES)
    with lean(record) as ledger:
        ledger.start(NOON)
        ledger.ready()
        yield ledger


def second(record: Path, *before: str) -> str:
    """Return what a second ledger says as it refuses, run by the words `before`."""
    ran = subprocess.run(
        [*before, sys.executable, "-c", SECOND, str(record)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stderr
    return ran.stderr


def itself(record: Path) -> Path:
    return record


def link_to_folder(record: Path) -> Path:
    (record.parents[1] / "other").symlink_to(record.parent)
    return record.parents[1] / "other" / record.name


def roundabout(record: Path) -> Path:
    return record.parent / ".." / record.parent.name / record.name


@pytest.mark.parametrize("other", [itself, link_to_folder, roundabout])
def test_the_second_ledger_refuses(running: LeanLedger, other: Callable[[Path], Path]) -> None:
    """It says what is in use; the first one goes on as before, with its key."""
    path = other(running.record)
    client = LedgerClient(running.socket)
    client.append(samples.event(1))
    keys = sorted(os.listdir(running.record.with_suffix(".keys")))
    said = second(path)
    assert said.startswith("conflict: ")
    assert "in use by another process" in said
    assert sorted(os.listdir(running.record.with_suffix(".keys"))) == keys
    assert client.append(samples.event(2)).seq == 1
    client.close()


def test_a_link_to_the_file_itself_is_refused(running: LeanLedger, tmp_path: Path) -> None:
    """Neither its lock nor its keys lie where the link does."""
    for make in (Path.symlink_to, Path.hardlink_to):
        folder = tmp_path / make.__name__
        folder.mkdir()
        make(folder / "audit.db", running.record)
        assert second(folder / "audit.db")
        with contextlib.closing(LedgerClient(running.socket)) as client:
            assert client.append(samples.event(1)).seq >= 0
    running.stop()
    assert verify_file(running.record).entries >= 2


def test_a_bind_mount_of_the_folder_is_the_same_folder(running: LeanLedger, tmp_path: Path) -> None:
    """The lock is on the file, wherever it is mounted."""
    if not can_mount():
        pytest.skip("nothing can be mounted here")
    (tmp_path / "bound").mkdir()
    mount = f'mount --bind "{running.record.parent}" "{tmp_path}/bound" && exec "$@"'
    said = second(tmp_path / "bound" / "audit.db", *OWN_MOUNTS, "sh", "-c", mount, "sh")
    assert "in use by another process" in said


def test_the_lock_goes_with_its_process(running: LeanLedger) -> None:
    """After `kill -9` the next one starts at once, and no file has to be removed by hand."""
    with contextlib.closing(LedgerClient(running.socket)) as client:
        client.append(samples.event(1))
    running.kill()
    assert running.record.with_name("audit.db.lock").exists()
    running.start(NOON + DAY_S)
    running.ready()
    with contextlib.closing(LedgerClient(running.socket)) as client:
        assert client.append(samples.event(2)).seq == 2  # entry 1 is the day's new key
