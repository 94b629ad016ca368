"""Import under disturbance: media that change or vanish, several of them, two imports at once."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from appliance.bundles import digesting, media, pipeline, refusals, staging
from appliance.bundles.imports.steps import Step, Watch
from appliance.bundles.states import State
from appliance.errors import ConflictError, DiskFullError
from tests.simulators.bundle_forge import BundleForge, weights_of
from tests.unit.bundles.conftest import Site

PIECE = 512
CHUNK = 4_096


class On(Watch):
    """Does something when so many bytes are read, or when a step is reached."""

    def __init__(
        self, act: Callable[[], None], *, after: int = 0, step: Step | None = None
    ) -> None:
        self._act = act
        self._after = after
        self._step = step
        self.first: int | None = None
        self.done = False

    def step(self, step: Step, facts: Mapping[str, object]) -> None:
        if step is self._step:
            self._act()

    def progress(self, done: int, total: int) -> None:
        self.first = done if self.first is None else self.first
        if self._step is None and done > self._after and not self.done:
            self.done = True
            self._act()


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks and chunks so small that tiny weights have many of them."""
    monkeypatch.setattr(pipeline, "BLOCK", PIECE)
    monkeypatch.setattr(pipeline, "BLOCKS", 2)
    monkeypatch.setattr(digesting, "CHUNK_BYTES", CHUNK)


def side_bytes(folder: Path) -> int:
    """Return the length of everything beside the weights, which is read first."""
    weights = weights_of(folder)
    return sum(p.stat().st_size for p in weights.parent.iterdir() if p != weights)


@pytest.mark.usefixtures("small_pieces")
def test_file_that_grows_while_it_is_read_is_refused(site: Site, forge: BundleForge) -> None:
    """Bytes that appear after the length was checked are noticed, and reading stops there."""
    folder = forge.good()
    path = weights_of(folder)

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"x" * 4_000_000)

    with pytest.raises(refusals.ContentError, match="longer than"):
        site.bring_in(folder, watch=On(grow, after=side_bytes(folder)))
    assert site.files() == []


def test_second_read_of_the_medium_does_not_count(site: Site, forge: BundleForge) -> None:
    """Bytes that the medium shows only after they were read never reach the library."""
    folder = forge.good()
    path = weights_of(folder)
    signed = path.read_bytes()
    swap = On(lambda: path.write_bytes(b"\0" * len(signed)) and None, step=Step.STREAMED)
    site.bring_in(folder, watch=swap)
    model = site.library.by_name("tiny")
    assert site.library.path_of(model.digest).read_bytes() == signed


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("percent", [1, 50, 99])
def test_file_that_shrinks_while_it_is_read_is_refused(
    site: Site, forge: BundleForge, percent: int
) -> None:
    """A file that ends early, at whatever share of its length, is refused and leaves nothing."""
    folder = forge.good()
    path = weights_of(folder)
    share = path.stat().st_size * percent // 100
    cut = On(lambda: os.truncate(path, share + PIECE), after=side_bytes(folder) + share - PIECE)
    with pytest.raises(refusals.ContentError, match="were signed"):
        site.bring_in(folder, watch=cut)
    assert site.files() == []


@pytest.mark.usefixtures("small_pieces")
def test_pulled_stick_is_gone_on_with(
    site: Site, forge: BundleForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input error in the middle of a file keeps what was read; the next run goes on there."""
    folder = forge.good()
    beside = side_bytes(folder)
    with monkeypatch.context() as patch:
        pull = On(lambda: patch.setattr(os, "readv", _gone), after=beside + 5 * CHUNK)
        with pytest.raises(refusals.MediumError, match="cannot be read: Input/output error"):
            site.bring_in(folder, watch=pull)
    assert list(site.library.folder.iterdir()) == []
    assert [row.state for row in site.library.imports()] == ["waiting"]
    resumed = On(lambda: None)
    read: list[int] = []
    original = os.readv

    def counting(descriptor: int, buffers: list[memoryview]) -> int:
        read.append(original(descriptor, buffers))
        return read[-1]

    monkeypatch.setattr(os, "readv", counting)
    assert site.bring_in(folder, watch=resumed) == ["tiny 1.0 imported"]
    assert sum(read) <= weights_of(folder).stat().st_size - 4 * CHUNK
    assert [row.state for row in site.library.imports()] == ["committed", "continued"]


def _gone(*_: object) -> int:
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.usefixtures("small_pieces")
def test_bytes_that_changed_in_staging_are_read_again(
    site: Site, forge: BundleForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an interrupted run left is hashed again; from a changed byte on the medium counts."""
    folder = forge.good()
    with monkeypatch.context() as patch:
        pull = On(lambda: patch.setattr(os, "readv", _gone), after=side_bytes(folder) + 5 * CHUNK)
        with pytest.raises(refusals.MediumError):
            site.bring_in(folder, watch=pull)
    (part,) = site.library.staging.glob("*.gguf.part")
    data = bytearray(part.read_bytes())
    data[CHUNK + 7] ^= 1
    part.write_bytes(data)
    site.bring_in(folder)
    model = site.library.by_name("tiny")
    assert site.library.verify(model.id) == model


def split(forge: BundleForge, parts: int) -> list[Path]:
    """Build a bundle with one model in so many parts, one part to a medium."""
    source = forge.add_model()
    forge.part_bytes = -(-source.gguf.stat().st_size // parts)
    whole = forge.good("whole")
    sticks = [forge.desk / f"stick{number}" for number in range(1, parts + 1)]
    for number, stick in enumerate(sticks, start=1):
        shutil.copytree(whole, stick)
        for path in stick.glob("targets/*/*"):
            named = path.suffix in {f".{n:03}" for n in range(1, parts + 1)}
            if path.suffix != f".{number:03}" if named else number > 1:
                path.unlink()
    return sticks


@pytest.mark.usefixtures("small_pieces")
def test_several_media_together_are_one_bundle(site: Site, forge: BundleForge) -> None:
    """The parts of a model on three media, given at once in any order, become one file."""
    sticks = split(forge, 3)
    assert site.bring_in(*reversed(sticks)) == ["tiny 1.0 imported"]
    model = site.library.by_name("tiny")
    assert site.library.verify(model.id) == model
    assert site.library.path_of(model.digest).read_bytes() == forge.models[0].gguf.read_bytes()


@pytest.mark.usefixtures("small_pieces")
def test_media_one_after_the_other_are_one_bundle(site: Site, forge: BundleForge) -> None:
    """Each medium alone goes on where the one before ended, and the missing part is named."""
    first, second, third = split(forge, 3)
    with pytest.raises(refusals.IncompleteError, match=r"part 2 of the weights, .*\.gguf\.002"):
        site.bring_in(first)
    with pytest.raises(refusals.IncompleteError, match=r"part 3 of the weights, .*\.gguf\.003"):
        site.bring_in(second)
    assert site.library.models() == []
    assert site.bring_in(third) == ["tiny 1.0 imported"]
    model = site.library.by_name("tiny")
    assert site.library.verify(model.id) == model
    assert [path.name for path in site.library.staging.iterdir()] == [".import.lock"]


def test_wrong_part_is_refused_at_its_end(site: Site, forge: BundleForge) -> None:
    """A changed byte in a part is noticed when that part is read, and named."""
    first, second = split(forge, 2)
    (path,) = second.glob("targets/*/*.002")
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with pytest.raises(refusals.ContentError, match=r"\.gguf\.002 has the SHA-256"):
        site.bring_in(first, second)
    assert site.files() == []


def test_media_of_two_bundles_are_refused(site: Site, forge: BundleForge) -> None:
    """Media whose metadata differ are not taken together."""
    first = forge.good("first")
    with pytest.raises(refusals.LayoutError, match="do not belong to one bundle"):
        site.bring_in(first, forge.good("second", version=2))
    assert site.files() == []


def test_staging_of_another_bundle_is_cleared(site: Site, forge: BundleForge) -> None:
    """What lies in staging of a bundle that is listed no more goes when the next one comes."""
    folder = forge.good("first")
    weights_of(folder).unlink()
    with pytest.raises(refusals.IncompleteError):
        site.bring_in(folder)
    forge.models.clear()
    forge.add_model("other", "1.0", seed=3)
    site.bring_in(forge.good("second", version=2))
    assert [path.name for path in site.library.staging.iterdir()] == [".import.lock"]
    assert [row.state for row in site.library.imports()] == ["committed", "superseded"]


def only(bundle: Path, name: str, *patterns: str) -> Path:
    """Copy a bundle to another medium with those of its files that match."""
    medium = bundle.with_name(name)
    shutil.copytree(bundle, medium)
    wanted = {path for pattern in patterns for path in medium.glob(f"targets/{pattern}")}
    for folder in (medium / "targets").iterdir():
        for path in folder.iterdir():
            if path not in wanted:
                path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
    return medium


def test_half_of_one_model_waits_while_another_comes_in(site: Site, forge: BundleForge) -> None:
    """What is staged of a model that is still listed stays when another model is committed."""
    forge.add_model("other", "1.0", seed=3)
    split(forge, 2)
    whole = forge.desk / "whole"
    with pytest.raises(refusals.IncompleteError):
        site.bring_in(only(whole, "a", "tiny-1.0/*.001"))
    staged = {path.name for path in site.library.staging.iterdir()}
    assert site.bring_in(only(whole, "b", "other-1.0/*")) == ["other 1.0 imported"]
    assert {path.name for path in site.library.staging.iterdir()} == staged
    rest = ("*.002", "*.toml", "*.jinja", "*.jsonl", "*.json", "*.sig")
    last = only(whole, "c", *(f"tiny-1.0/{pattern}" for pattern in rest))
    assert site.bring_in(last) == ["tiny 1.0 imported"]


def test_second_import_at_once_is_refused(site: Site, forge: BundleForge) -> None:
    """While one import runs another is refused, and the first goes on undisturbed."""
    folder = forge.good()
    refused: list[str] = []

    def meanwhile() -> None:
        with pytest.raises(ConflictError) as caught:
            site.bring_in(folder)
        refused.append(caught.value.message)

    site.bring_in(folder, watch=On(meanwhile))
    assert refused == ["the import of models is in use by another process"]
    assert [model.state for model in site.library.models()] == [State.IMPORTED]


def test_orphan_of_a_crash_is_adopted(site: Site, forge: BundleForge) -> None:
    """Weights that a crash left without a row are re-hashed and adopted, not read again."""
    folder = forge.good()
    digest = weights_of(folder).name.split(".")[0]
    orphan = site.library.path_of(digest)
    orphan.write_bytes(weights_of(folder).read_bytes())
    assert site.library.models() == []
    before = orphan.stat().st_ino
    site.bring_in(folder)
    assert orphan.stat().st_ino == before
    assert [model.digest for model in site.library.models()] == [digest]


@pytest.mark.parametrize("data", [b"half", None], ids=["short", "altered"])
def test_damaged_orphan_is_replaced(site: Site, forge: BundleForge, data: bytes | None) -> None:
    """An orphan with other bytes than its name says is replaced by the verified ones."""
    folder = forge.good()
    weights = weights_of(folder)
    digest = weights.name.split(".")[0]
    site.library.path_of(digest).write_bytes(data or b"x" * weights.stat().st_size)
    site.bring_in(folder)
    assert site.library.verify(site.library.by_name("tiny").id).digest == digest


def test_full_disk_is_told_before_anything_is_read(
    site: Site, forge: BundleForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for the model and for what must stay free, nothing is read and nothing kept."""
    monkeypatch.setattr(site.library, "_keep_free", 2**60)
    opened: list[object] = []
    monkeypatch.setattr(media, "pour", lambda *args: opened.append(args))
    monkeypatch.setattr(staging, "pour", media.pour)
    with pytest.raises(DiskFullError, match=r"it needs 0\.00 GB, and 0\.00 GB can be used"):
        site.bring_in(forge.good())
    assert opened == []
    assert site.files() == []


def test_failure_of_the_rows_takes_the_files_back(
    site: Site, forge: BundleForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the rows cannot be written after the files were placed, the files are taken back."""

    def full(*_: object) -> None:
        raise DiskFullError("the database cannot grow: the disk is full")

    monkeypatch.setattr("appliance.bundles.store.ModelStore.add_models", full)
    with pytest.raises(DiskFullError):
        site.bring_in(forge.good())
    assert site.files() == []
