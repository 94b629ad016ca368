"""No room on the disk, for one thing or another: refused with clear words, nothing half done."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.small_disk import can_mount, on_small_disk

pytestmark = pytest.mark.skipif(not can_mount(), reason="no small disk can be mounted here")


def seen(folder: Path, scene: str) -> dict[str, Any]:
    """Return what a ledger did on a disk of 6 MiB and 200 names."""
    command = [sys.executable, "-m", "tests.faults.disk_process", scene, str(folder)]
    ran = on_small_disk(folder, "size=6m,nr_inodes=200", *command)
    assert ran.returncode == 0, ran.stderr
    facts: dict[str, Any] = json.loads(ran.stdout)
    assert facts["unsigned"] == 0
    assert facts["anchors"] == ["newest.checkpoint"]
    assert facts["keys"] == [f"{facts['epochs'] - 1}.key"]
    return facts


def test_a_full_disk_refuses_and_says_so_once(tmp_path: Path) -> None:
    """The refusal names the disk and what to do; the reserve has room for one line about it."""
    facts = seen(tmp_path, "no_room")
    assert facts["refused"].startswith("disk_full: nothing was recorded: the disk is full (")
    assert "()" not in facts["refused"]
    assert facts["again"] == facts["refused"]
    assert facts["disk_full"] == 1
    assert facts["resumed"]
    assert facts["last"][-2:] == ["disk.full", "answer.stop"]


def test_no_room_for_the_days_new_key(tmp_path: Path) -> None:
    """The old key stays until the new one can be made; then the day begins as it should."""
    facts = seen(tmp_path, "no_room_for_the_key")
    assert facts["refused"].startswith("disk_full: ")
    assert facts["keys_meanwhile"] == ["0.key"]
    assert facts["resumed"]
    assert facts["epochs"] == 2
    assert facts["disk_full"] == 1


def test_no_file_can_be_made_for_the_key(tmp_path: Path) -> None:
    """A minute of that does not fill the record with lines about it."""
    facts = seen(tmp_path, "no_name_for_the_key")
    assert facts["refused"].startswith("disk_full: ")
    assert facts["keys_meanwhile"] == ["0.key"]
    assert facts["resumed"]
    assert facts["epochs"] == 2
    assert facts["disk_full"] == 1


def test_no_file_can_be_made_for_the_copy_of_a_checkpoint(tmp_path: Path) -> None:
    """Recording goes on; the older copy stays whole, and the next one takes its place."""
    facts = seen(tmp_path, "no_name_for_the_copy")
    assert facts["refused"] == ""
    assert facts["older_copy_stays"]
    assert facts["copied_again"]
    assert facts["disk_full"] == 0


def test_a_start_on_a_disk_without_one_page(tmp_path: Path) -> None:
    """The reserve makes room for the start; reading works, writing is refused until there is."""
    facts = seen(tmp_path, "no_room_at_start")
    assert facts["started"]
    assert facts["refused"].startswith("disk_full: ")
    assert facts["found"] >= 10
    assert facts["resumed"]
    assert facts["found_later"] > facts["found"]


def test_no_room_for_the_search_index(tmp_path: Path) -> None:
    """What little is left is for the record; searching works all the same."""
    facts = seen(tmp_path, "no_room_for_the_index")
    assert facts["found"] == 10
    assert facts["resumed"]
    assert facts["found_later"] > 10


def test_midnight_on_a_disk_with_hardly_any_room(tmp_path: Path) -> None:
    """Whichever write fails first: whole, said once, one key, and the day goes on as usual."""
    facts = seen(tmp_path, "hardly_any_room")
    assert facts["refusals"] == ["disk_full"]
    assert facts["grew"]
    assert facts["epochs"] == facts["days"] + 1
    assert facts["disk_full"] <= facts["days"]


def test_the_whole_appliance_on_a_full_disk(tmp_path: Path) -> None:
    """New questions get 507 and the reason; answers come again by themselves."""
    command = [sys.executable, "-m", "tests.faults.appliance_on_disk", str(tmp_path)]
    ran = on_small_disk(tmp_path, "size=160m", *command)
    assert ran.returncode == 0, ran.stderr
    facts = json.loads(ran.stdout)
    assert facts["before"] == 200
    for status, said in (facts["refused"], facts["again"]):
        assert status == 507
        assert "disk is full" in said
    assert facts["resumed"] == 200
    assert facts["disk_full"] == 1
    assert "whole" in facts["verified"]
    assert facts["code"] == 0
