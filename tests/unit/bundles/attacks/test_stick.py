"""What somebody with the stick in hand can do to it: refused by name, and nothing is left."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.bundles import media
from tests.simulators import bundle_forge as forging
from tests.simulators.bundle_forge import weights_of
from tests.unit.bundles.attacks.hospital import Hospital, Publisher

# The last step that was reached before the refusal, as the record names it.
OPENING, COPYING = "inserted", "space_reserved"
LAYOUT, CONTENT, SIGNATURE = "bundle_layout", "bundle_content", "bad_signature"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")


def break_device(folder: Path) -> None:
    """Put a device that gives zeros without end in the place of the weights."""
    path = weights_of(folder)
    path.unlink()
    os.mknod(path, 0o644 | 0o020000, os.makedev(1, 5))


def break_socket(folder: Path) -> None:
    """Put a socket where the weights should be."""
    path = weights_of(folder)
    path.unlink()
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


def break_setgid(folder: Path) -> None:
    """Mark the weights set-group-id."""
    weights_of(folder).chmod(0o2755)


def break_metadata_link(folder: Path) -> None:
    """Make the timestamp a link to a file of the machine."""
    path = folder / "metadata" / "timestamp.json"
    path.unlink()
    path.symlink_to("/etc/passwd")


def break_metadata_fifo(folder: Path) -> None:
    """Make the timestamp a FIFO that nobody writes to."""
    path = folder / "metadata" / "timestamp.json"
    path.unlink()
    os.mkfifo(path)


def break_metadata_folder(folder: Path) -> None:
    """Make the folder of metadata a link."""
    path = folder / "metadata"
    path.rename(folder.with_name("meta-elsewhere"))
    path.symlink_to(folder.with_name("meta-elsewhere"))


def break_targets_folder(folder: Path) -> None:
    """Make the folder of targets a link."""
    path = folder / "targets"
    path.rename(folder.with_name("targets-elsewhere"))
    path.symlink_to(folder.with_name("targets-elsewhere"))


def break_two_dots(folder: Path) -> None:
    """Put a file whose name begins like the way up beside the weights."""
    path = weights_of(folder)
    shutil.copy(path, path.with_name(f"..{path.name}"))


def break_case_clash(folder: Path) -> None:
    """Put the model's folder there twice, in two cases."""
    path = weights_of(folder).parent
    shutil.copytree(path, path.with_name(path.name.upper()))


def break_nested(folder: Path) -> None:
    """Put the model's folder one level deeper."""
    path = weights_of(folder).parent
    path.rename(path.with_name("moved"))
    path.mkdir()
    path.with_name("moved").rename(path / "deeper")


def break_swapped_roles(folder: Path) -> None:
    """Exchange the names of two signed files, so that each is somewhere, but not in its place."""
    card = next(folder.glob("targets/*/*.card.toml"))
    prompts = next(folder.glob("targets/*/*.eval.jsonl"))
    between = card.with_name("x")
    card.rename(between)
    prompts.rename(card)
    between.rename(prompts)


def break_card(folder: Path) -> None:
    """Change one letter of the card."""
    path = next(folder.glob("targets/*/*.card.toml"))
    path.write_bytes(path.read_bytes().replace(b"tests", b"tasks"))


def break_missing_signature_file(folder: Path) -> None:
    """Remove the model's own signature."""
    next(folder.glob("targets/*/*.model.oms.sig")).unlink()


def break_missing_targets(folder: Path) -> None:
    """Remove the list of targets."""
    (folder / "metadata" / "1.targets.json").unlink()


INCOMPLETE = "bundle_incomplete"
BROKEN: list[tuple[Callable[[Path], None], str, str, str]] = [
    (forging.break_content, CONTENT, COPYING, "not the signed one"),
    (forging.break_short, CONTENT, COPYING, "were signed"),
    (forging.break_long, CONTENT, COPYING, "were signed"),
    (break_card, CONTENT, COPYING, "not the signed one"),
    (break_swapped_roles, CONTENT, COPYING, "were signed"),
    (forging.break_extra_file, LAYOUT, OPENING, "was not signed"),
    (forging.break_extra_folder, LAYOUT, OPENING, "was not signed"),
    (forging.break_empty_folder, LAYOUT, OPENING, "was not signed"),
    (forging.break_terminal_name, LAYOUT, OPENING, "was not signed"),
    (forging.break_extra_metadata, LAYOUT, OPENING, "does not belong"),
    (forging.break_unknown_metadata, LAYOUT, OPENING, "not a metadata file"),
    (forging.break_huge_metadata, LAYOUT, OPENING, "larger than"),
    (forging.break_missing_file, INCOMPLETE, COPYING, "gguf"),
    (break_missing_signature_file, INCOMPLETE, COPYING, "model.oms.sig"),
    (forging.break_missing_metadata, LAYOUT, OPENING, "is missing"),
    (break_missing_targets, LAYOUT, OPENING, "is missing"),
    (forging.break_symlink, LAYOUT, COPYING, "not a plain file"),
    (forging.break_folder_symlink, LAYOUT, OPENING, "not a plain folder"),
    (break_metadata_link, LAYOUT, OPENING, "not a plain file"),
    (break_metadata_fifo, LAYOUT, OPENING, "not a plain file"),
    (break_metadata_folder, LAYOUT, OPENING, "not a plain folder"),
    (break_targets_folder, LAYOUT, OPENING, "not a plain folder"),
    (forging.break_hard_link, LAYOUT, COPYING, "hard link"),
    (forging.break_fifo, LAYOUT, COPYING, "not a plain file"),
    (break_socket, LAYOUT, COPYING, "not a plain file"),
    (forging.break_subfolder, LAYOUT, COPYING, "not a plain file"),
    (forging.break_setuid, LAYOUT, COPYING, "set-user-id"),
    (break_setgid, LAYOUT, COPYING, "set-group-id"),
    (forging.break_upper_case, LAYOUT, OPENING, "was not signed"),
    (break_case_clash, LAYOUT, OPENING, "was not signed"),
    (break_two_dots, LAYOUT, OPENING, "was not signed"),
    (break_nested, LAYOUT, OPENING, "was not signed"),
    (forging.break_metadata_bit, SIGNATURE, OPENING, "too few valid signatures"),
    (forging.break_no_signature, SIGNATURE, OPENING, "too few valid signatures"),
    (forging.break_nested_json, SIGNATURE, OPENING, "malformed"),
]


@pytest.mark.parametrize(
    ("broken", "code", "step", "words"),
    BROKEN,
    ids=[attack.__name__[6:] for attack, _, _, _ in BROKEN],
)
def test_a_broken_stick_is_refused_by_name(
    hospital: Hospital,
    publisher: Publisher,
    broken: Callable[[Path], None],
    code: str,
    step: str,
    words: str,
) -> None:
    """One thing changed on the stick is refused, the record names it and its step, all is left."""
    folder = publisher.good()
    broken(folder)
    refusal = hospital.refuses(folder)
    assert refusal.named() == (code, step)
    assert words in refusal.error.message


@AS_ROOT
def test_a_device_is_not_opened(hospital: Hospital, publisher: Publisher) -> None:
    """A device that would be read for ever, under the name of the weights, is refused."""
    folder = publisher.good()
    break_device(folder)
    refusal = hospital.refuses(folder)
    assert refusal.named()[0] == LAYOUT
    assert "not a plain file" in refusal.error.message


def test_a_stranger_is_refused(hospital: Hospital) -> None:
    """A whole and well signed bundle of somebody whom nobody trusts here is refused."""
    refusal = hospital.refuses(hospital.publisher(trusted=False).good())
    assert refusal.named()[0] == "unknown_publisher"


def test_a_stranger_with_a_trusted_root_is_refused(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A stranger's bundle that shows a trusted publisher's root is refused by its signatures."""
    stranger = hospital.publisher(trusted=False)
    folder = stranger.good()
    (folder / "metadata" / "1.root.json").write_bytes(publisher.forge.roots[0])
    assert hospital.refuses(folder).named()[0] == SIGNATURE


def test_a_stick_with_too_many_files_is_refused(
    hospital: Hospital, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with more entries than any bundle has is refused, not listed to its end."""
    monkeypatch.setattr(media, "MAX_ENTRIES", 50)
    folder = publisher.good()
    for number in range(60):
        (weights_of(folder).parent / f"{number}").touch()
    refusal = hospital.refuses(folder)
    assert refusal.named() == (LAYOUT, OPENING)
    assert "more than 50" in refusal.error.message
