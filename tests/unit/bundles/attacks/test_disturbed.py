"""Media that change while they are read, runs that are cut off and gone on with, two at once."""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.audit.checkpoint import SignedCheckpoint
from appliance.bundles import pipeline
from appliance.bundles.refusals import MediumError
from appliance.errors import ConflictError
from appliance.operations.imports import ImportEvent
from tests.simulators.bundle_forge import weights_of
from tests.unit.bundles.attacks.hospital import Hospital, Publisher

CONTENT = "bundle_content"
PART_BYTES = 50_000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in small pieces, so that much can happen between two of them."""
    monkeypatch.setattr(pipeline, "BLOCK", 512)


def once_at(percent: int, act: Callable[[], object]) -> Callable[[ImportEvent], None]:
    """Return a watcher that acts once, when so much of the bytes were read."""
    pending = [act]

    def watch(event: ImportEvent) -> None:
        copied = event.step is None and event.what == "copy"
        if copied and pending and event.done * 100 >= event.total * percent:
            pending.pop()()

    return watch


def at_step(step: str, act: Callable[[], object]) -> Callable[[ImportEvent], None]:
    """Return a watcher that acts when a step was reached."""

    def watch(event: ImportEvent) -> None:
        if event.step == step:
            act()

    return watch


def pulled() -> None:
    """Fail as reading does when the stick is gone (see tests/faults for the real thing)."""
    raise MediumError("the medium cannot be read: Input/output error")


def flip(path: Path, at: int = -1) -> None:
    """Change one byte of a file, whatever its mode."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    path.chmod(mode)


def installed(hospital: Hospital, publisher: Publisher) -> bool:
    """Tell whether the publisher's model lies in the library, byte for byte as it was built."""
    model = hospital.appliance.library.by_name(publisher.name, "1.0")
    data = hospital.appliance.library.path_of(model.digest).read_bytes()
    return data == publisher.forge.models[0].gguf.read_bytes()


@pytest.mark.parametrize("percent", [1, 50, 99])
def test_a_file_cut_off_while_it_is_read_is_refused(
    hospital: Hospital, publisher: Publisher, percent: int
) -> None:
    """Weights that end early, at whatever share, are refused and nothing of them is kept."""
    folder = publisher.good()
    cut = once_at(percent, lambda: os.truncate(weights_of(folder), 10))
    assert hospital.refuses(folder, watch=cut).named() == (CONTENT, "space_reserved")
    assert not [name for name in hospital.staged() if name.endswith((".part", ".notes"))]


def test_a_file_that_grows_while_it_is_read_is_refused(
    hospital: Hospital, publisher: Publisher
) -> None:
    """Bytes that appear after the length was looked at are noticed at the first of them."""
    folder = publisher.good()

    def grow() -> None:
        with weights_of(folder).open("ab") as file:
            file.write(b"x" * 10_000)

    refusal = hospital.refuses(folder, watch=once_at(50, grow))
    assert refusal.named() == (CONTENT, "space_reserved")
    assert "longer than" in refusal.error.message


def test_other_bytes_behind_the_reader_gain_nothing(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A stick that shows other bytes when it is read again is never read again."""
    folder = publisher.good()

    def swap() -> None:
        for path in [*folder.glob("targets/*/*"), *folder.glob("metadata/*")]:
            path.write_bytes(bytes(path.stat().st_size))

    hospital.bring(folder, watch=at_step("streamed", swap))
    assert installed(hospital, publisher)


def test_other_metadata_behind_the_reader_gains_nothing(
    hospital: Hospital, publisher: Publisher
) -> None:
    """After the metadata was verified, what the stick shows in its place does not count."""
    folder = publisher.good()

    def swap() -> None:
        shutil.rmtree(folder / "metadata")
        (folder / "metadata").mkdir()
        (folder / "metadata" / "timestamp.json").write_text("{}")

    hospital.bring(folder, watch=at_step("metadata_ok", swap))
    assert installed(hospital, publisher)


def test_a_link_put_in_after_the_look_is_not_followed(
    hospital: Hospital, publisher: Publisher, tmp_path: Path
) -> None:
    """Weights that are replaced by a link once the layout was found good are refused."""
    folder = publisher.good()
    path = weights_of(folder)

    def link() -> None:
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")

    refusal = hospital.refuses(folder, watch=at_step("space_reserved", link))
    assert refusal.named() == ("bundle_layout", "space_reserved")


def test_a_folder_that_becomes_a_link_is_not_followed(
    hospital: Hospital, publisher: Publisher, tmp_path: Path
) -> None:
    """The same for the folder that the files lie in."""
    folder = publisher.good()

    def link() -> None:
        shutil.move(folder / "targets", tmp_path / "targets")
        (folder / "targets").symlink_to(tmp_path / "targets")

    refusal = hospital.refuses(folder, watch=at_step("space_reserved", link))
    assert refusal.named() == ("bundle_layout", "space_reserved")


def cut_off(hospital: Hospital, folder: Path, percent: int = 60) -> None:
    """Let an import end in the middle, as a pulled stick ends it; what was read is kept."""
    refusal = hospital.refuses(folder, watch=once_at(percent, pulled))
    assert refusal.named() == ("medium_unreadable", "space_reserved")


def staged_weights(hospital: Hospital) -> Path:
    return next(hospital.config.paths.staging.glob("*.gguf.part"))


def test_a_cut_off_import_goes_on(hospital: Hospital, publisher: Publisher) -> None:
    """After a pulled stick the same bundle enters, and staging is empty again."""
    publisher.forge.part_bytes = PART_BYTES
    folder = publisher.good()
    cut_off(hospital, folder)
    hospital.bring(folder)
    assert installed(hospital, publisher)
    assert not [name for name in hospital.staged() if name.endswith((".part", ".notes"))]


@pytest.mark.parametrize("at", [10, 60_000, -1], ids=["first", "second", "room"])
def test_bytes_altered_in_staging_between_two_runs_do_not_enter(
    hospital: Hospital, publisher: Publisher, at: int
) -> None:
    """What lies in staging is hashed again, so a byte changed there is read anew."""
    publisher.forge.part_bytes = PART_BYTES
    folder = publisher.good()
    cut_off(hospital, folder, 90)
    flip(staged_weights(hospital), at)
    hospital.bring(folder)
    assert installed(hospital, publisher)


@pytest.mark.parametrize("list_chunks", [True, False])
def test_notes_that_claim_too_much_are_not_believed(
    hospital: Hospital,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
    list_chunks: bool,
) -> None:
    """Notes in staging that say all was read do not stand in for the digest of the whole."""
    monkeypatch.setattr(hospital.appliance.library, "_list_chunks", list_chunks)
    publisher.forge.part_bytes = PART_BYTES
    folder = publisher.good()
    cut_off(hospital, folder, 30)
    weights = staged_weights(hospital)
    notes = next(hospital.config.paths.staging.glob("*.notes"))
    data = weights.read_bytes()
    name = hashlib.sha256(data).hexdigest() if list_chunks else f"{zlib.crc32(data):08x}"
    notes.write_text(f"{len(data)} {name}\n")
    assert hospital.refuses(folder).named()[0] == CONTENT
    hospital.bring(folder)
    assert installed(hospital, publisher)


def test_a_good_stick_enters_after_a_bad_one(hospital: Hospital, publisher: Publisher) -> None:
    """What a damaged stick brought into staging does not stand in a good one's way."""
    publisher.forge.part_bytes = PART_BYTES
    good = publisher.good()
    bad = good.with_name("bad")
    shutil.copytree(good, bad)
    flip(next(bad.glob("targets/*/*.gguf.002")))
    assert hospital.refuses(bad).named()[0] == CONTENT
    hospital.bring(good)
    assert installed(hospital, publisher)


def test_a_bad_stick_in_the_second_run_is_refused(hospital: Hospital, publisher: Publisher) -> None:
    """An import that a bad stick goes on with is refused, and a good one brings it to its end."""
    publisher.forge.part_bytes = PART_BYTES
    good = publisher.good()
    bad = good.with_name("bad")
    shutil.copytree(good, bad)
    flip(next(bad.glob("targets/*/*.gguf.003")))
    cut_off(hospital, good, 50)
    assert hospital.refuses(bad).named()[0] == CONTENT
    hospital.bring(good)
    assert installed(hospital, publisher)


def test_another_bundle_between_two_runs_disturbs_neither(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A bundle of somebody else, imported while one waits to be gone on with, leaves both right."""
    publisher.forge.part_bytes = PART_BYTES
    folder, other = publisher.good(), hospital.publisher()
    cut_off(hospital, folder)
    hospital.bring(other.good())
    hospital.bring(folder)
    assert installed(hospital, publisher)
    assert installed(hospital, other)


def test_a_wrong_stick_between_two_runs_costs_nothing(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A stranger's stick is refused without touching what an interrupted import had read."""
    publisher.forge.part_bytes = PART_BYTES
    folder = publisher.good()
    cut_off(hospital, folder)
    kept = hospital.staged()
    hospital.refuses(hospital.publisher(trusted=False).good())
    assert hospital.staged() == kept
    hospital.bring(folder)
    assert installed(hospital, publisher)


def two_sticks(publisher: Publisher) -> tuple[Path, Path]:
    """Return a bundle on two sticks: all but the last part, and the last part."""
    publisher.forge.part_bytes = PART_BYTES
    first = publisher.good("first")
    second = first.with_name("second")
    shutil.copytree(first, second)
    next(first.glob("targets/*/*.gguf.003")).unlink()
    for path in second.glob("targets/*/*"):
        if not path.name.endswith(".003"):
            path.unlink()
    return first, second


def test_what_lacks_is_named_and_the_next_stick_brings_it(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A model on two sticks, given one by one, is incomplete after the first and whole then."""
    first, second = two_sticks(publisher)
    refusal = hospital.refuses(first)
    assert refusal.named() == ("bundle_incomplete", "space_reserved")
    assert "part 3" in refusal.error.message
    hospital.bring(second)
    assert installed(hospital, publisher)


@pytest.mark.parametrize("role", ["card", "bom", "oms"])
def test_a_small_file_altered_in_staging_does_not_enter(
    hospital: Hospital, publisher: Publisher, role: str
) -> None:
    """A file kept from the first stick and changed since is found; the second stick lacks it."""
    first, second = two_sticks(publisher)
    hospital.refuses(first)
    flip(next(hospital.config.paths.staging.glob(f"*.{role}.part")))
    assert hospital.refuses(second).named()[0] == "bundle_incomplete"
    hospital.bring(first, second)
    assert installed(hospital, publisher)


def test_sticks_of_two_bundles_are_not_mixed(hospital: Hospital, publisher: Publisher) -> None:
    """Two sticks whose metadata differ are refused together, though each is good."""
    one, two = publisher.good("one"), publisher.good("two", version=2)
    assert hospital.refuses(one, two).named() == ("bundle_layout", "inserted")


def test_a_second_import_at_once_is_refused(hospital: Hospital, publisher: Publisher) -> None:
    """While one import runs another is refused and recorded, and the first goes on undisturbed."""
    folder, other = publisher.good(), hospital.publisher().good()
    refused: list[str] = []

    def meanwhile() -> None:
        with pytest.raises(ConflictError) as caught:
            hospital.bring(other)
        refused.append(caught.value.message)

    start = hospital.appliance.ledger.head().size
    hospital.bring(folder, watch=once_at(50, meanwhile))
    assert refused == ["the import of models is in use by another process"]
    ended = [e for e in hospital.record(start) if e["action"] == "bundle.import"]
    assert [e["outcome"] for e in ended] == ["intent", "intent", "refused", "success"]
    assert ended[2]["content"]["code"] == "conflict"
    assert installed(hospital, publisher)
    hospital.bring(other)


def plant_link(folder: Path, outside: Path) -> None:
    """Make `returns` a link to a folder of the machine."""
    outside.mkdir()
    (folder / "returns").symlink_to(outside)


def plant_file(folder: Path, outside: Path) -> None:
    """Make `returns` a file."""
    (folder / "returns").write_text("mine")


def plant_fifo(folder: Path, outside: Path) -> None:
    """Make `returns` a FIFO, which to open would be to wait."""
    os.mkfifo(folder / "returns")


def plant_device(folder: Path, outside: Path) -> None:
    """Make `returns` a device."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a device")
    os.mknod(folder / "returns", 0o644 | 0o020000, os.makedev(1, 3))


def plant_names(folder: Path, outside: Path) -> None:
    """Put links under the names that the checkpoint will be written by."""
    (folder / "returns").mkdir()
    for name in checkpoint_names(outside.name):
        (folder / "returns" / name).symlink_to(outside)


def plant_folders(folder: Path, outside: Path) -> None:
    """Put folders under the names that the checkpoint will be written by."""
    for name in checkpoint_names(outside.name):
        (folder / "returns" / name).mkdir(parents=True)


def checkpoint_names(final: str) -> tuple[str, str]:
    return final, f".{final}.new"


@pytest.mark.parametrize(
    "plant", [plant_link, plant_file, plant_fifo, plant_device, plant_names, plant_folders]
)
def test_nothing_is_written_through_returns(
    hospital: Hospital,
    publisher: Publisher,
    tmp_path: Path,
    plant: Callable[[Path, Path], None],
) -> None:
    """Whatever `returns` was made into, an import ends well and writes nothing but on the stick."""
    note = hospital.appliance.ledger.checkpoint()
    origin = SignedCheckpoint.parse(note).checkpoint.origin
    folder = publisher.forge.advisory("advisory")
    outside = tmp_path / f"{origin.replace('/', '_')}.checkpoint"
    plant(folder, outside)
    hospital.bring(folder)
    assert not outside.exists() or list(outside.iterdir()) == []
