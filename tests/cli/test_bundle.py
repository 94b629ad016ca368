"""`appliance bundle import|verify|inspect`, as a steward and as a program use them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.simulators import bundle_forge as attacks
from tests.simulators.bundle_forge import BundleForge


@pytest.fixture
def bundle(appliance: Run, tmp_path: Path) -> Path:
    """A good bundle of a publisher that is trusted here."""
    folder = BundleForge(tmp_path / "desk").good()
    trust(appliance, folder)
    return folder


def trust(appliance: Run, folder: Path) -> None:
    root = folder / "metadata" / "1.root.json"
    digest = hashlib.sha256(root.read_bytes()).hexdigest()
    assert appliance("trust", "add", "acme", str(root), "--fingerprint", digest).code == 0


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_import_says_each_step_and_what_is_next(appliance: Run, bundle: Path) -> None:
    """A steward sees what was checked, how the model did, and who has to do what next."""
    ended = appliance("bundle", "import", str(bundle))
    assert ended.code == 0, ended.err
    assert "tiny 1.0 is in the library (evaluated)" in ended.out
    for words in ("every byte was read", "own signature is good", "golden prompts passed",
                  "reading: 100 %", "a checkpoint of the record was left"):  # fmt: skip
        assert words in ended.err
    assert "next: another person than you runs appliance model approve tiny" in ended.err


def test_json_events_are_one_to_a_line(appliance: Run, bundle: Path) -> None:
    """A program reads steps, progress with speed and time left, and the result."""
    ended = appliance("bundle", "import", str(bundle), "--json")
    events = lines(ended.out)
    assert events[0] == {"event": "step", "step": "inserted"}
    progress = [event for event in events if event["event"] == "progress"]
    copied = [event for event in progress if event["what"] == "copy"]
    assert copied[-1]["done"] == copied[-1]["total"]
    assert copied[-1].keys() >= {"bytes_per_s", "seconds_left"}
    assert events[-1]["event"] == "result"
    assert [model["name"] for model in events[-1]["models"]] == ["tiny"]


def test_refusal_is_the_last_line_of_json(appliance: Run, bundle: Path) -> None:
    """A program is told the code, and the exit status says that verification failed."""
    attacks.break_content(bundle)
    ended = appliance("bundle", "import", str(bundle), "--json")
    assert ended.code == 3
    last = lines(ended.out)[-1]
    assert (last["event"], last["code"]) == ("error", "bundle_content")


def in_two_parts(folder: Path) -> tuple[Path, Path]:
    """Make a bundle on two media."""
    forge = BundleForge(folder / "desk")
    source = forge.add_model()
    forge.part_bytes = source.gguf.stat().st_size // 2 + 1
    first = forge.good()
    second = folder / "second"
    shutil.copytree(first, second)
    for path in second.glob("targets/*/*"):
        if path.suffix != ".002":
            path.unlink()
    next(first.glob("targets/*/*.002")).unlink()
    return first, second


def test_missing_medium_is_named_where_nobody_can_be_asked(appliance: Run, tmp_path: Path) -> None:
    """Without a terminal an incomplete bundle is exit 4, and what lacks is said."""
    first, _ = in_two_parts(tmp_path)
    trust(appliance, first)
    ended = appliance("bundle", "import", str(first))
    assert ended.code == 4
    assert "part 2 of the weights" in ended.err
    assert "run the import again with the next medium" in ended.err


def test_person_is_asked_for_the_next_medium(appliance: Run, state: Path, tmp_path: Path) -> None:
    """At a terminal the import asks for the next medium, and goes on with what is answered."""
    first, second = in_two_parts(tmp_path)
    trust(appliance, first)
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "appliance.cli.main", "--state", str(state)]
    with subprocess.Popen(
        [*command, "bundle", "import", str(first)],
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        assert process.stderr is not None
        for line in process.stderr:
            if "put in the next medium" in line:
                os.write(ours, f"{second}\n".encode())
                break
        out, err = process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode == 0, err
    assert "tiny 1.0 is in the library" in out


def test_verify_imports_nothing(appliance: Run, bundle: Path) -> None:
    """Verifying says that all is whole, and the library is as before."""
    before = appliance("model", "list", "--json").value
    ended = appliance("bundle", "verify", str(bundle))
    assert (ended.code, ended.out) == (
        0,
        "whole: every file of tiny 1.0 is the one that was signed\n",
    )
    assert appliance("bundle", "verify", str(bundle), "--json").value["whole"] is True
    assert appliance("model", "list", "--json").value == before


def test_verify_of_a_broken_bundle_is_exit_three(appliance: Run, bundle: Path) -> None:
    """A command that finds something wrong never says whole."""
    attacks.break_content(bundle)
    ended = appliance("bundle", "verify", str(bundle))
    assert ended.code == 3
    assert "whole" not in ended.out


def test_inspect_shows_who_signed_and_what_lacks(appliance: Run, tmp_path: Path) -> None:
    """Inspecting tells the publisher, the keys, each listed model and each missing file."""
    first, _ = in_two_parts(tmp_path)
    trust(appliance, first)
    value = appliance("bundle", "inspect", str(first), "--json").value
    assert (value["publisher_name"], value["threshold"]) == ("acme", 1)
    assert [(m["name"], m["parts"], m["carried"]) for m in value["models"]] == [
        ("tiny", 2, "in part")
    ]
    assert value["missing"] == ["tiny-1.0/tiny.gguf.002"]
    shown = appliance("bundle", "inspect", str(first)).out
    assert "on none of the media: tiny-1.0/tiny.gguf.002" in shown
