"""`kill -9` of an import at every state and in the middle of a file: it resumes or rolls back.

Each test runs a real importing process over a real state folder, kills it at a stated point,
looks at what it left, and runs it again to its end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.assembly import assemble
from appliance.audit.query import Query
from appliance.audit.verify import verify_file
from appliance.bundles.imports.steps import Step
from appliance.bundles.trust import fingerprint
from appliance.cli.actor import console_actor
from appliance.config import Config, load
from appliance.operations.setup import initialise
from tests.simulators.bundle_forge import BundleForge

ROOT = Path(__file__).parents[2]
SHARES = ("1%", "50%", "99%")
# Where nothing of the models may be in the library yet.
BEFORE = ("inserted", "metadata_ok", "space_reserved", *SHARES, "streamed", "signature_ok",
          "inspected")  # fmt: skip


@dataclass(frozen=True)
class Desk:
    """A state folder that trusts a publisher, to be copied, and the publisher's bundle."""

    state: Path
    bundle: Path
    weights: Path


def settings(state: Path) -> Config:
    return load(state, file=state / "none", environment={})


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """What all tests begin with."""
    folder = tmp_path_factory.mktemp("kills")
    forge = BundleForge(folder / "desk")
    source = forge.add_model()
    tomorrow = datetime.now(tz=UTC).replace(microsecond=0) + timedelta(days=1)
    forge.part_bytes = source.gguf.stat().st_size // 2 + 1
    bundle = forge.good(expires=tomorrow)
    config = settings(folder / "state")
    initialise(config, console_actor())
    appliance = assemble(config)
    root = forge.roots[0]
    appliance.library.add_publisher("publisher", root, fingerprint(root), "usr_it")
    appliance.close()
    return Desk(config.state, bundle, source.gguf)


class Importers:
    """The process that forks one importing process after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.import_process"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *order: object) -> int:
        """Run one import to its end, whatever that is; return its status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([str(part) for part in order]), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


@pytest.fixture(scope="module")
def importers() -> Iterator[Importers]:
    """One for all tests: starting an interpreter takes longer than an import."""
    running = Importers()
    yield running
    running.close()


@dataclass(frozen=True)
class Machine:
    """One machine of one test."""

    config: Config
    desk: Desk
    importers: Importers

    def bring_in(self, point: str = "none") -> int:
        """Import in another process that dies at `point`; return its status."""
        return self.importers.run(self.config.state, point, self.desk.bundle)

    def models(self) -> int:
        """Return how many rows of models there are, by a reader of its own."""
        with contextlib.closing(sqlite3.connect(self.config.paths.appliance_db)) as database:
            return int(database.execute("SELECT count(*) FROM models").fetchone()[0])

    def outside(self) -> dict[str, str]:
        """Return every file outside staging with its digest; the databases live."""
        paths, found = self.config.paths, {}
        for path in paths.state.rglob("*"):
            inside = paths.staging in path.parents
            living = ".db" in path.name or path.suffix == ".checkpoint"
            if path.is_file() and not inside and not living:
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


@pytest.fixture
def machine(desk: Desk, importers: Importers, tmp_path: Path) -> Machine:
    """A fresh copy of the state folder."""
    shutil.copytree(desk.state, tmp_path / "state")
    return Machine(settings(tmp_path / "state"), desk, importers)


def check_whole(machine: Machine) -> list[dict[str, Any]]:
    """Check that the model is in, whole, once; return what the record says of imports."""
    appliance = assemble(machine.config)
    try:
        (model,) = appliance.library.models()
        assert (model.name, model.state) == ("tiny", "imported")
        assert appliance.library.verify(model.id) == model
        path = appliance.library.path_of(model.digest)
        assert path.read_bytes() == machine.desk.weights.read_bytes()
        assert list(machine.config.paths.library.glob("*.gguf")) == [path]
        rows = appliance.library.imports()
        assert {row.state for row in rows} <= {"committed", "continued"}
        assert [path.name for path in machine.config.paths.staging.iterdir()] == [".import.lock"]
        found = appliance.ledger.search(Query(action="bundle.import", limit=100)).entries
    finally:
        appliance.close()
    report = verify_file(machine.config.paths.audit_db)
    assert report.entries == report.signed
    return list(found)


def test_kills_before_the_commit_touch_staging_alone(machine: Machine) -> None:
    """Killed at every step and share of the bytes, one run after the other: nothing but staging
    changes, each run goes on from the one before, and the last one ends well.
    """
    before = machine.outside()
    for point in BEFORE:
        assert machine.bring_in(point) == -signal.SIGKILL, point
        assert machine.outside() == before, point
        assert machine.models() == 0, point
    assert machine.bring_in() == 0
    entries = check_whole(machine)
    # A killed run is an intent without an outcome: that is what the record knows of it.
    outcomes = Counter(entry["outcome"] for entry in entries)
    assert outcomes == {"intent": len(BEFORE) + 1, "success": 1}


@pytest.mark.parametrize("share", SHARES)
def test_kill_while_reading_is_gone_on_with(machine: Machine, share: str) -> None:
    """What was whole before the kill is not read again: its notes stay and grow."""
    assert machine.bring_in(share) == -signal.SIGKILL
    (notes,) = machine.config.paths.staging.glob("*.notes")
    kept = notes.read_bytes()
    assert machine.bring_in(Step.STREAMED) == -signal.SIGKILL
    assert notes.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    assert machine.bring_in() == 0
    assert machine.models() == 1


def test_kill_between_files_and_rows_leaves_whole_orphans(machine: Machine) -> None:
    """Files that were renamed before their rows were written are whole, and are adopted."""
    assert machine.bring_in("rows") == -signal.SIGKILL
    assert machine.models() == 0
    (orphan,) = machine.config.paths.library.glob("*.gguf")
    assert hashlib.sha256(orphan.read_bytes()).hexdigest() == orphan.stem
    inode = orphan.stat().st_ino
    assert machine.bring_in() == 0
    check_whole(machine)
    assert orphan.stat().st_ino == inode


def test_kill_after_the_commit_loses_nothing(machine: Machine) -> None:
    """Once committed the model is in, and importing again changes nothing."""
    assert machine.bring_in(Step.COMMITTED) == -signal.SIGKILL
    before = machine.outside()
    assert machine.bring_in() == 0
    assert machine.outside() == before
    check_whole(machine)
