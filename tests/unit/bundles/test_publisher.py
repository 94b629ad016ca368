"""The publisher's end: a whole bundle or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.bundles.publisher import ModelSource, build_bundle
from appliance.bundles.refusals import UnsafeModelError
from appliance.bundles.trust import fingerprint
from appliance.errors import ConflictError
from tests.simulators.bundle_forge import EXPIRES, BundleForge


def test_bundle_has_the_documented_layout(forge: BundleForge) -> None:
    """A bundle holds metadata and, per model, weights and card named by their digests."""
    folder = forge.good()
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file())
    assert [name.split("/")[-1].split(".", 1)[-1] for name in found[-2:]] in (
        ["card.toml", "tiny.gguf"],
        ["tiny.gguf", "card.toml"],
    )
    assert found[:-2] == [
        "metadata/1.root.json",
        "metadata/1.snapshot.json",
        "metadata/1.targets.json",
        "metadata/timestamp.json",
    ]


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
            [ModelSource(source.gguf, source.card)],
            forge.signers,
            expires=EXPIRES,
        )
    assert list(desk.iterdir()) == []


def test_no_key_is_written(forge: BundleForge) -> None:
    """No file of a bundle holds a private key."""
    folder = forge.good()
    secret = forge.signers.root[0].private_bytes
    raw = forge.signers.root[0]._private_key.private_bytes_raw()
    for path in folder.rglob("*.json"):
        data = path.read_bytes()
        assert secret not in data
        assert raw.hex().encode() not in data
