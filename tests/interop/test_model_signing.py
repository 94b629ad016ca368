"""OpenSSF's published `model_signing` program and this appliance accept each other's signatures."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile, Targets

from appliance.bundles import building
from appliance.bundles.desk import signing
from appliance.bundles.manifest import SIDE_FILES, VerifiedModel
from appliance.bundles.refusals import SignatureError
from tests.simulators.bundle_forge import NOW, BundleForge
from tests.simulators.publisher_desk import PublisherDesk, write_source
from tests.unit.bundles.conftest import Site, open_site

OMS = SIDE_FILES["oms"]


def model_signing(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the published program as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


def verify(folder: Path, signature: Path, key: Path) -> subprocess.CompletedProcess[str]:
    return model_signing("verify", "key", folder, "--signature", signature, "--public_key", key)


def lay_out(bundle: Path, model: VerifiedModel, folder: Path) -> Path:
    """Copy a bundle's model under its plain names, the weights whole; return its signature."""
    folder.mkdir()
    with (folder / f"{model.name}.gguf").open("wb") as whole:
        for part in model.parts:
            whole.write((bundle / "targets" / part.stored_path).read_bytes())
    for item in model.files:
        name = item.path.partition("/")[2]
        if item.role not in ("weights", "oms"):
            shutil.copy(bundle / "targets" / item.stored_path, folder / name)
    return bundle / "targets" / model.file("oms").stored_path


def test_the_published_program_accepts_our_models(tmp_path: Path) -> None:
    """Years later anybody can check an installed model without us; not one byte may differ."""
    site = PublisherDesk(tmp_path / "site", ("alice", "bob"), 2)
    source = write_source(tmp_path / "source")
    site.build("stick", sources=[source], part_bytes=source.gguf.stat().st_size // 2 + 1)
    site.sign("stick", by="alice")
    site.sign("stick", by="bob")
    manifest = signing.check_complete(site.home / "stick", site.first_root, NOW)
    signature = lay_out(site.home / "stick", manifest.models[0], tmp_path / "model")
    key = site.home / "people" / "alice.pub"
    good = verify(tmp_path / "model", signature, key)
    assert (good.returncode, "succeeded" in good.stdout) == (0, True), good.stdout + good.stderr
    assert verify(tmp_path / "model", signature, site.home / "people" / "bob.pub").returncode != 0
    with (tmp_path / "model" / "card.toml").open("a") as card:
        card.write("# changed\n")
    assert verify(tmp_path / "model", signature, key).returncode != 0


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Site]:
    """A machine that trusts nobody yet."""
    site, database = open_site(tmp_path / "state")
    yield site
    database.close()


def signed_by_the_program(forge: BundleForge, bundle: Path, key: Path, scratch: Path) -> Path:
    """Replace a bundle's OMS signature by one that the published program makes with `key`."""
    manifest = signing.check_complete(bundle, forge.roots[0], NOW)
    (model,) = manifest.models
    old = lay_out(bundle, model, scratch / "model")
    made = scratch / "made.sig"
    done = model_signing("sign", "key", scratch / "model", "--signature", made,
                         "--private_key", key)  # fmt: skip
    assert done.returncode == 0, done.stderr
    target = building.write_file(old.parent, OMS, made.read_bytes(), {"role": "oms"})
    old.unlink()

    def change(targets: Targets) -> None:
        assert isinstance(target, TargetFile)
        targets.targets[target.path] = target

    return forge.signed(bundle, change)


def test_a_model_signed_by_the_published_program_imports(hospital: Site, tmp_path: Path) -> None:
    """A publisher may sign models with that program, given a key that their root names."""
    (tmp_path / "desk").mkdir()
    forge = BundleForge(tmp_path / "desk")
    hospital.trust(forge)
    key = tmp_path / "key.pem"
    key.write_bytes(forge.signers.targets[0].private_bytes)
    bundle = signed_by_the_program(forge, forge.good(), key, tmp_path)
    assert hospital.bring_in(bundle) == ["tiny 1.0 imported"]


def test_the_same_program_with_another_key_does_not_import(hospital: Site, tmp_path: Path) -> None:
    """A good signature by a key that the root does not name is no signature."""
    for name in ("desk", "other"):
        (tmp_path / name).mkdir()
    forge = BundleForge(tmp_path / "desk")
    hospital.trust(forge)
    key = tmp_path / "key.pem"
    key.write_bytes(BundleForge(tmp_path / "other").signers.targets[0].private_bytes)
    bundle = signed_by_the_program(forge, forge.good(), key, tmp_path)
    with pytest.raises(SignatureError):
        hospital.bring_in(bundle)
