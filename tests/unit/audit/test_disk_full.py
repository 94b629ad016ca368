"""A full disk: the record says so once, refuses, and goes on by itself when there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.audit.entry import Event
from appliance.audit.log import Log
from appliance.audit.reserve import Reserve
from appliance.audit.verify import verify_file
from appliance.errors import DiskFullError
from tests.unit.audit import samples

ROOT = Path(__file__).parents[3]
# A disk of its own, gone with the process: needs root, or a kernel that allows user namespaces.
OWN_MOUNTS = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def on_small_disk(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    mount = f'mount -t tmpfs -o size=6m tmpfs "{folder}" && exec "$@"'
    return subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", mount, "sh", *command],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a ledger on a 6 MiB disk did while the disk was filled and emptied again."""
    folder = tmp_path_factory.mktemp("disk")
    try:
        trial = on_small_disk(folder, "true")
    except FileNotFoundError:
        pytest.skip("this machine has no `unshare`, so no small disk can be made")
    if trial.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {trial.stderr.strip()}")
    ran = on_small_disk(
        folder, sys.executable, "-m", "tests.unit.audit.full_disk_process", str(folder)
    )
    assert ran.returncode == 0, ran.stderr
    facts: dict[str, Any] = json.loads(ran.stdout)
    return facts


def test_full_disk_refuses_with_its_own_error(seen: dict[str, Any]) -> None:
    """On a full disk an append is refused as `disk_full`, at once and each time."""
    assert seen["code"] == "disk_full"
    assert seen["again"] == [[0, "disk_full"]] * 3
    assert seen["still"] == [0, "disk_full"]


def test_full_disk_is_recorded_once(seen: dict[str, Any]) -> None:
    """The reserve makes room for one last entry that says the disk is full."""
    assert seen["disk_full_entries"] == 1
    assert seen["reserve_while_full"] == 0


def test_full_disk_loses_nothing_it_acknowledged(seen: dict[str, Any]) -> None:
    """The record on the full disk is whole: every acknowledged entry and `disk.full`."""
    assert seen["acknowledged"] > 2
    assert seen["whole_while_full"] == seen["acknowledged"] + 1


def test_full_disk_can_be_searched(seen: dict[str, Any]) -> None:
    """Reading goes on while writing is refused."""
    assert seen["found_while_full"]


def test_restart_on_a_full_disk_still_refuses(seen: dict[str, Any]) -> None:
    """A ledger that starts on a full disk refuses too, and does not say it again."""
    assert seen["refused_after_restart"] == [0, "disk_full"]


def test_appends_resume_by_themselves(seen: dict[str, Any]) -> None:
    """When there is room again, the reserve is made anew and appends go on, nothing restarted."""
    assert seen["reserve_is_back"]
    assert seen["resumed"]
    assert seen["last_two"] == ["disk.full", "answer.stop"]
    assert seen["entries"] == seen["acknowledged"] + 2


def test_sqlite_saying_full_is_a_full_disk(log: Log) -> None:
    """Where no small disk can be made: SQLite's own limit refuses, and lifting it resumes."""
    log.append(samples.event())
    connection = log._recorder._writer._connection
    before = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={before}")
    big = samples.event(content={"x": "y" * 60_000})
    with pytest.raises(DiskFullError):
        log.append(big)
    size = log.verify().entries
    connection.execute("PRAGMA max_page_count=100000")
    time.sleep(1.1)
    assert log.append(samples.event()).seq >= size


def append_for_ever(log: Log, event: Event) -> None:
    while True:
        log.append(event)


def test_new_key_waits_for_room(tmp_path: Path) -> None:
    """A hand-over that finds the disk full is refused whole, and made up for when there is room."""
    clock = samples.SetClock()
    log = samples.opened(samples.make(tmp_path, 5, clock), clock=clock)
    connection = log._recorder._writer._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages}")
    small = samples.event(model=None, tokens=None, content=None, policy=None, purpose=None)
    for event in (samples.event(), small):
        clock.go(2)  # refused events are tried again after a second
        with pytest.raises(DiskFullError):
            append_for_ever(log, event)
    clock.go(86_400)
    with pytest.raises(DiskFullError):
        log.append(samples.event())
    assert len(log.keys()) == 1
    assert (tmp_path / "audit.keys" / "0.key").exists()
    connection.execute("PRAGMA max_page_count=100000")
    clock.go(2)
    log.append(samples.event())
    assert len(log.keys()) == 2
    assert [path.name for path in (tmp_path / "audit.keys").iterdir()] == ["1.key"]
    log.close()
    verified = verify_file(log.path)
    assert verified.signed == verified.entries


def test_reserve_is_really_allocated(tmp_path: Path) -> None:
    """The reserve occupies its blocks on the disk, and gives all of them back."""
    reserve = Reserve(tmp_path / "audit.reserve", samples.RESERVE_BYTES)
    reserve.take()
    assert reserve.held()
    assert reserve.path.stat().st_blocks * 512 >= samples.RESERVE_BYTES
    reserve.release()
    assert not reserve.held()
    assert reserve.path.stat().st_blocks == 0
