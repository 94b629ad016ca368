"""Import under disturbance: media that change or vanish, kills, a full disk, two at once."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.bundles import media, refusals
from appliance.bundles.states import State
from appliance.errors import ConflictError, DiskFullError
from tests.simulators import bundle_forge as attacks
from tests.simulators.bundle_forge import BundleForge, weights_of
from tests.unit.bundles.conftest import TIME, Site

ROOT = Path(__file__).resolve().parents[3]


def test_file_that_grows_while_it_is_read_is_refused(site: Site, forge: BundleForge) -> None:
    """Bytes that appear after the length was checked are noticed, and reading stops there."""
    folder = forge.good()
    path = weights_of(folder)

    def grow(done: int, _total: int) -> None:
        with path.open("ab") as file:
            file.write(b"x" * 4_000_000)

    with pytest.raises(refusals.ContentError, match="longer than"):
        site.library.import_bundle(folder, TIME, "usr_steward", grow)
    assert site.files() == []


def test_second_read_of_the_medium_does_not_count(site: Site, forge: BundleForge) -> None:
    """Bytes that the medium shows only after they were read never reach the library."""
    folder = forge.good()
    path = weights_of(folder)
    signed = path.read_bytes()

    def swap(_done: int, _total: int) -> None:
        path.write_bytes(b"\0" * len(signed))

    (model,) = site.library.import_bundle(folder, TIME, "usr_steward", swap)
    assert site.library.path_of(model.digest).read_bytes() == signed


@pytest.mark.parametrize("percent", [1, 50, 99])
def test_file_that_shrinks_while_it_is_read_is_refused(
    site: Site, forge: BundleForge, monkeypatch: pytest.MonkeyPatch, percent: int
) -> None:
    """A file that ends early, at whatever share of its length, is refused and leaves nothing."""
    monkeypatch.setattr(media, "CHUNK", 512)
    folder = forge.good()
    path = weights_of(folder)

    def cut(done: int, total: int) -> None:
        if done * 100 >= total * percent:
            os.truncate(path, done)

    with pytest.raises(refusals.ContentError, match="were signed"):
        site.library.import_bundle(folder, TIME, "usr_steward", cut)
    assert site.files() == []


def test_pulled_stick_is_an_unreadable_medium(
    site: Site, forge: BundleForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input error in the middle of a file is told as such, and leaves nothing."""
    folder = forge.good()

    def gone(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "readv", gone)
    with pytest.raises(refusals.MediumError, match="cannot be read: Input/output error"):
        site.bring_in(folder)
    assert site.files() == []


def test_second_import_at_once_is_refused(site: Site, forge: BundleForge) -> None:
    """While one import runs another is refused, and the first goes on undisturbed."""
    folder = forge.good()
    refused: list[str] = []

    def meanwhile(_done: int, _total: int) -> None:
        with pytest.raises(ConflictError) as caught:
            site.bring_in(folder)
        refused.append(caught.value.message)

    site.library.import_bundle(folder, TIME, "usr_steward", meanwhile)
    assert set(refused) == {"the import of models is in use by another process"}
    assert [model.state for model in site.library.models()] == [State.IMPORTED]


def test_orphan_of_a_crash_is_adopted(site: Site, forge: BundleForge) -> None:
    """Weights that a crash left without a row are re-hashed and adopted, not read again."""
    folder = forge.good()
    digest = weights_of(folder).name.split(".")[0]
    orphan = site.library.path_of(digest)
    orphan.write_bytes(weights_of(folder).read_bytes())
    assert site.library.orphans() == (orphan,)
    before = orphan.stat().st_ino
    site.bring_in(folder)
    assert orphan.stat().st_ino == before
    assert site.library.orphans() == ()


def test_damaged_orphan_is_replaced(site: Site, forge: BundleForge) -> None:
    """An orphan with other bytes than its name says is replaced by the verified ones."""
    folder = forge.good()
    digest = weights_of(folder).name.split(".")[0]
    site.library.path_of(digest).write_bytes(b"half")
    site.bring_in(folder)
    assert site.library.verify(site.library.by_name("tiny").id).digest == digest


IMPORT_AND_DIE = """
import os, resource, signal, sys
from pathlib import Path
from tests.unit.bundles.conftest import TIME, open_site
state, bundle, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
site, database = open_site(state)
if how == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
def progress(done, total):
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
from appliance.errors import DiskFullError
try:
    site.library.import_bundle(bundle, TIME, "usr_steward", progress)
except DiskFullError as error:
    print(error.message)
    sys.exit(4)
"""


def _import_elsewhere(site: Site, bundle: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", IMPORT_AND_DIE, str(site.state), str(bundle), how],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_kill_while_copying_leaves_files_in_staging_only(site: Site, forge: BundleForge) -> None:
    """kill -9 in the middle of copying leaves the library and the rows as they were."""
    ended = _import_elsewhere(site, forge.good(), "kill")
    assert ended.returncode == -signal.SIGKILL
    assert list(site.library.folder.iterdir()) == []
    assert site.library.models() == []
    assert site.files() != []


def test_import_works_after_a_kill(site: Site, forge: BundleForge) -> None:
    """After kill -9 the same bundle imports as if nothing had happened, and staging is clean."""
    folder = forge.good()
    _import_elsewhere(site, folder, "kill")
    assert site.bring_in(folder) == ["tiny 1.0 imported"]
    assert site.files() == [f"{site.library.by_name('tiny').digest}.gguf"]


def test_full_disk_is_reported_and_leaves_nothing(site: Site, forge: BundleForge) -> None:
    """No room for the weights ends the import with a clear error before anything is read."""
    folder = forge.good()
    forge.signed(folder, attacks.swap_weights(folder, bytes(8_000_000)))
    ended = _import_elsewhere(site, folder, "full")
    assert (ended.returncode, ended.stdout) == (
        4,
        "there is no room for the model; nothing was imported\n",
    )
    assert site.files() == []


def test_failure_of_the_rows_takes_the_weights_back(
    site: Site, forge: BundleForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the rows cannot be written after the files were placed, the files are removed."""

    def full(*_: object) -> None:
        raise DiskFullError("the database cannot grow: the disk is full")

    monkeypatch.setattr("appliance.bundles.store.ModelStore.add_models", full)
    with pytest.raises(DiskFullError):
        site.bring_in(forge.good())
    assert site.files() == []
