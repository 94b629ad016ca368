"""Every write and every read of an import fails in its turn: told in words, nothing half done.

The kernel itself fails the call (see `tests/simulators/failing_kernel.py`), so nothing of the
importer is replaced. A few calls of each kind are tried here; `APPLIANCE_FAULT_ROUNDS` asks for
more, and for all of them when it is larger than their number.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.faults.small_disk import ROOT

ROUNDS = os.environ.get("APPLIANCE_FAULT_ROUNDS", "3")
# What may be said, by scene; a scene that kills says nothing.
SAID = {
    "full-files": {"disk_full"},
    "error-files": {"storage_failed", "disk_full"},
    "full-rows": {"disk_full", "unavailable"},
    "error-rows": {"disk_full", "unavailable"},
    "error-reads": {"medium_unreadable"},
}
KILLS = ("kill-files", "kill-rows")
Facts = dict[str, Any]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> list[Facts]:
    """All imports, made once by a process that has no threads of its own."""
    command = [sys.executable, "-m", "tests.faults.import_process_failing", ROUNDS]
    ran = subprocess.run(
        [*command, str(tmp_path_factory.mktemp("failing"))],
        cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    if not ran.stdout:
        pytest.skip("this kernel cannot be made to fail a call")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def failed(stories: list[Facts], scene: str) -> list[Facts]:
    """Return the stories of a scene in which a call failed."""
    found = [story for story in stories if story["scene"] == scene and story["call"]]
    assert found, scene
    return found


@pytest.mark.parametrize("scene", SAID)
def test_a_failing_call_is_told_and_recorded(stories: list[Facts], scene: str) -> None:
    """The importer says in words what failed, and the record ends with the same code and a step."""
    for story in failed(stories, scene):
        first = story["first"]
        if first["said"] == "ok":
            continue
        assert first["said"] in SAID[scene], story
        if first["recorded"] is not None:
            outcome, code, step = first["recorded"]
            assert (outcome, code) == ("failure", first["said"]), story
            # A medium that could not even be opened has come to no step.
            assert step or story["call"][1] == "desk/bundle", story


@pytest.mark.parametrize("scene", SAID)
def test_a_failing_call_leaves_no_half_model(stories: list[Facts], scene: str) -> None:
    """After a failure there is no row, and no file of a model in the library."""
    for story in failed(stories, scene):
        first = story["first"]
        assert story["left"]["strange"] == []
        if first["said"] != "ok" and first["recorded"] is not None:
            assert first["models"] == [], story
            assert story["left"]["library"] == [], story


def test_a_full_or_failing_disk_leaves_nothing_in_staging(stories: list[Facts]) -> None:
    """What a failing disk took is not gone on with, so nothing of it stays."""
    for scene in ("full-files", "error-files"):
        for story in failed(stories, scene):
            assert story["left"]["staging"] == [".import.lock"], story


@pytest.mark.parametrize("scene", KILLS)
def test_kill_at_any_write_leaves_no_row_without_its_files(
    stories: list[Facts], scene: str
) -> None:
    """`kill -9` before any write: nothing lies where it does not belong."""
    for story in failed(stories, scene):
        assert story["signal"] == 9, story
        assert story["left"]["strange"] == []


@pytest.mark.parametrize("scene", [*SAID, *KILLS])
def test_the_next_import_brings_the_model_whole(stories: list[Facts], scene: str) -> None:
    """Whatever failed, the same bundle then enters, byte for byte, and staging is empty."""
    expected = next(s for s in stories if s["scene"] == scene and not s["call"])["left"]
    for story in failed(stories, scene):
        assert story["second"]["said"] == "ok", story
        assert story["second"]["models"] == ["imported"], story
        assert story["whole"], story
        assert story["then"] == {**expected, "staging": [".import.lock"]}, story
