"""The tiles export is read and proved by Go's own implementation of the same public formats."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from appliance.audit.log import Log
from appliance.audit.query import Query
from tests.simulators.auditor import WHOLE, ask
from tests.simulators.manual_clock import ManualClock
from tests.simulators.record_forge import Forge
from tests.unit.audit import samples

SOURCE = Path(__file__).parent / "tiles"
GO = shutil.which("go")
NOT_HERE = "Go is not installed here: "


def _go(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # The toolchain at hand, and exactly the module that go.sum names.
    changes = {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
    return subprocess.run(
        [GO or "go", *arguments],
        cwd=folder, env={**os.environ, **changes}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The check, built."""
    if GO is None:
        pytest.skip(NOT_HERE + "the tiles export was not read by a second implementation")
    folder = tmp_path_factory.mktemp("go") / "tiles"
    shutil.copytree(SOURCE, folder)
    fetched = _go("mod", "download", folder=folder)
    if fetched.returncode != 0:
        pytest.skip(NOT_HERE + f"its module cannot be fetched ({fetched.stderr.strip()[:200]})")
    built = _go("build", "-o", "check", ".", folder=folder)
    assert built.returncode == 0, built.stderr
    return folder / "check"


def check(program: Path, *arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def forge() -> Forge:
    """A record of three epochs that fills two tiles and part of a third."""
    forge = Forge().add(200).checkpoint().add(56).checkpoint().add(100).hand_over()
    return forge.add(150).checkpoint().hand_over().add(60).checkpoint()


def test_go_proves_every_entry_and_every_older_checkpoint(
    program: Path, forge: Forge, tmp_path: Path
) -> None:
    """All entries are proved in the newest tree, and each older checkpoint is part of it."""
    folder = forge.export(tmp_path)
    older = sorted((folder / "checkpoints").iterdir())
    code, said = check(program, folder, forge.key(0), *older)
    assert (
        said == f"proved {forge.size} of {forge.size} entries, and {len(older)} older checkpoints\n"
    )
    assert code == 0


def test_go_reads_what_pruning_left(program: Path, tmp_path: Path) -> None:
    """Without the first entries, the proofs for all others still hold."""
    forge = Forge().add(300).hand_over().add(300).checkpoint().prune(512)
    code, said = check(program, forge.export(tmp_path), forge.key(0))
    assert said.startswith(f"proved {forge.size - 512} of {forge.size} entries")
    assert code == 0


def test_go_refuses_a_changed_entry_and_a_wrong_key(
    program: Path, forge: Forge, tmp_path: Path
) -> None:
    """What this project finds wrong, the other implementation finds wrong too."""
    folder = forge.export(tmp_path)
    bundle = folder / "tile" / "entries" / "001"
    good = bundle.read_bytes()
    bundle.write_bytes(good.replace(b'"usr_1"', b'"usr_2"', 1))
    code, said = check(program, folder, forge.key(0))
    assert (code, said.startswith("entry 256: ")) == (1, True)
    bundle.write_bytes(good)
    assert check(program, folder, forge.key(1))[0] == 1


def test_go_and_the_stand_alone_verifier_prove_an_export_by_the_ledger(
    program: Path, tmp_path: Path
) -> None:
    """The tar that the ledger writes, of two days and with a prefix let go, holds in both."""
    path, clock = samples.make(tmp_path), ManualClock()
    log = Log(path, clock, samples.BOOT, samples.SETTINGS)
    for number in range(300):
        log.append(samples.event(number))
    older = tmp_path / "older"
    older.write_text(log.checkpoint())
    clock.advance(86_400)
    log.append_many([samples.event(number) for number in range(300)])
    log.prune(256, samples.event().agent, None, "six years are over")
    tar, folder, size = tmp_path / "export.tar", tmp_path / "export", log.head().size
    tar.write_bytes(b"".join(log.export("tiles", Query())))
    key = log.keys()[0].key
    log.close()
    with tarfile.open(tar) as archive:
        archive.extractall(folder, filter="data")
    code, said = check(program, folder, key, older)
    assert said == f"proved {size - 256} of {size} entries, and 1 older checkpoints\n"
    assert code == 0
    for record in (tar, folder, path):
        report = ask(record, "--key", key, "--anchor", older)
        assert (report["exit"], report["entries"], report["pruned"]) == (WHOLE, size, 256)
