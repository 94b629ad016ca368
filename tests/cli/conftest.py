"""A real state folder with a small demo model, and a way to run commands on it."""

from __future__ import annotations

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
from tests.simulators.bundle_forge import BundleForge, card_text
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
    write_tiny_gguf(source / "model.gguf", 0)
    (source / "card.toml").write_text(card_text("demo", "1.0", demo=True))
    forge.models.append(ModelSource(source / "model.gguf", source / "card.toml", security_epoch=1))
    forge.good("bundle").rename(folder / "bundle")
    root = (folder / "bundle" / "metadata" / "1.root.json").read_bytes()
    (folder / "root.sha256").write_text(hashlib.sha256(root).hexdigest() + "\n")
    return folder


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to give to `init --demo`."""
    return forge_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, demo_folder: Path) -> Path:
    """A state folder as `init` leaves it; copied for each test."""
    state = tmp_path_factory.mktemp("made") / "state"
    assert run(["--state", str(state), "init", "--demo", str(demo_folder)]) == 0
    return state


@pytest.fixture
def state(made: Path, tmp_path: Path) -> Path:
    """A fresh state folder of this test's own; nothing runs on it."""
    return Path(shutil.copytree(made, tmp_path / "state"))


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
