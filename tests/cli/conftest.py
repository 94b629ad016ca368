"""A real state folder with a small demo model, and a way to run commands on it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.bundles.publisher import ModelSource
from appliance.cli.main import run
from tests.simulators.bundle_forge import PROMPTS, BundleForge, card_text
from tests.simulators.tiny_gguf import write_tiny_gguf


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The JSON that was printed."""
        return json.loads(self.out)


Run = Callable[..., Ended]


def forge_demo(folder: Path) -> Path:
    """Make a folder like `models/demo`: a bundle of one tiny demo model and its fingerprint."""
    forge = BundleForge(folder / "desk")
    source = folder / "source"
    source.mkdir(parents=True)
    # Another seed than other bundles: one file has one name in a library.
    write_tiny_gguf(source / "model.gguf", 7)
    (source / "card.toml").write_text(card_text("demo", "1.0", demo=True))
    (source / "eval.jsonl").write_text(PROMPTS)
    names = ("model.gguf", "card.toml", "eval.jsonl")
    forge.models.append(ModelSource(*(source / name for name in names), security_epoch=1))
    forge.good("bundle").rename(folder / "bundle")
    root = (folder / "bundle" / "metadata" / "1.root.json").read_bytes()
    (folder / "root.sha256").write_text(hashlib.sha256(root).hexdigest() + "\n")
    return folder


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to give to `init --demo`."""
    return forge_demo(tmp_path_factory.mktemp("demo"))


@dataclass(frozen=True)
class Made:
    """A state folder as `init` leaves it, and the first passwords by name."""

    state: Path
    passwords: dict[str, str]


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory, demo_folder: Path) -> Made:
    """The state folder that tests copy, so that it is made once."""
    state = tmp_path_factory.mktemp("made") / "state"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run(["--state", str(state), "init", "--demo", str(demo_folder), "--json"]) == 0
    credentials = json.loads(printed.getvalue())["credentials"]
    return Made(state, {item["name"]: item["password"] for item in credentials})


@pytest.fixture
def state(initialised: Made, tmp_path: Path) -> Path:
    """A fresh state folder of this test's own; nothing runs on it."""
    return Path(shutil.copytree(initialised.state, tmp_path / "state"))


@pytest.fixture
def appliance(
    state: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run one command on the state folder, in this process."""

    def command(*words: str, typed: str = "") -> Ended:
        capfdbinary.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = run(["--state", str(state), *words])
        printed = capfdbinary.readouterr()
        return Ended(code, printed.out.decode(), printed.err.decode())

    return command
