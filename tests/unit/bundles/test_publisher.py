"""The publisher's end: a whole bundle or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.bundles.manifest import SIDE_FILES
from appliance.bundles.publisher import ModelSource, build_bundle
from appliance.bundles.refusals import UnsafeModelError
from appliance.bundles.trust import fingerprint
from appliance.errors import BadInputError, ConflictError
from tests.simulators.bundle_forge import EXPIRES, BundleForge, sha256


def test_bundle_has_the_documented_layout(forge: BundleForge) -> None:
    """A bundle holds metadata and, per model, weights and card named by their digests."""
    folder = forge.good()
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file())
    assert found[:4] == [
        "metadata/1.root.json",
        "metadata/1.snapshot.json",
        "metadata/1.targets.json",
        "metadata/timestamp.json",
    ]
    names = sorted(Path(name).name.split(".", 1) for name in found[4:])
    assert sorted(name for _, name in names) == sorted([*SIDE_FILES.values(), "tiny.gguf"])
    assert all(sha256((folder / name).read_bytes()) in name for name in found[4:])


def test_large_weights_come_in_parts_that_add_up(forge: BundleForge) -> None:
    """Weights over the size of a part become numbered parts, in the order of the bytes."""
    source = forge.add_model()
    forge.part_bytes = 50_000
    parts = sorted(
        forge.good().glob("targets/*/*.gguf.*"), key=lambda path: path.name.rpartition(".")[2]
    )
    assert [path.name.rpartition(".")[2] for path in parts] == ["001", "002", "003"]
    assert b"".join(path.read_bytes() for path in parts) == source.gguf.read_bytes()


@pytest.mark.parametrize("size", [0, 2**32])
def test_part_that_fat32_cannot_hold_is_refused(forge: BundleForge, size: int) -> None:
    """A size of parts that no FAT32 stick takes is refused before anything is written."""
    forge.part_bytes = size
    with pytest.raises(BadInputError):
        forge.good()
    assert not (forge.desk / "bundle").exists()


def test_fingerprint_is_that_of_the_first_root(forge: BundleForge) -> None:
    """Building returns what a hospital has to confirm."""
    source = forge.add_model()
    folder = forge.desk / "own"
    found = build_bundle(folder, [source], forge.signers, expires=EXPIRES)
    assert found == fingerprint((folder / "metadata/1.root.json").read_bytes())


def test_existing_folder_is_left_alone(forge: BundleForge) -> None:
    """A bundle is never written over something that is there."""
    (forge.desk / "bundle").mkdir()
    with pytest.raises(ConflictError):
        forge.good()
    assert list((forge.desk / "bundle").iterdir()) == []


def test_failed_build_leaves_nothing(forge: BundleForge, tmp_path: Path) -> None:
    """A model that the importing side would refuse ends the build without half a bundle."""
    source = forge.add_model()
    source.gguf.write_bytes(b"not a model")
    desk = tmp_path / "out"
    desk.mkdir()
    with pytest.raises(UnsafeModelError):
        build_bundle(
            desk / "bundle",
            [ModelSource(source.gguf, source.card, source.prompts)],
            forge.signers,
            expires=EXPIRES,
        )
    assert list(desk.iterdir()) == []


def test_no_key_is_written(forge: BundleForge) -> None:
    """No file of a bundle holds a private key."""
    folder = forge.good()
    secret = forge.signers.root[0].private_bytes
    number = forge.signers.root[0]._private_key.private_numbers().private_value
    raw = number.to_bytes(32, "big")
    for path in folder.rglob("*.json"):
        data = path.read_bytes()
        assert secret not in data
        assert raw.hex().encode() not in data
