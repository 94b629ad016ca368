"""What a valid signature cannot do: change a version, lower an epoch, take another's name."""

from __future__ import annotations

import shutil

import pytest
from tuf.api.metadata import Targets

from appliance.bundles.refusals import EngineTooOldError, RollbackError
from appliance.errors import ConflictError
from tests.simulators.bundle_forge import BundleForge
from tests.unit.bundles.conftest import Site


def test_version_never_changes_its_content(site: Site, forge: BundleForge) -> None:
    """Other weights under a version that the library holds are refused."""
    site.bring_in(forge.good("first"))
    shutil.rmtree(forge.desk / "tiny-1.0.src")
    forge.models.clear()
    forge.add_model("tiny", "1.0", seed=9)
    with pytest.raises(RollbackError, match="other content"):
        site.bring_in(forge.good("second", version=2))


def test_security_epoch_never_goes_down(site: Site, forge: BundleForge) -> None:
    """A version with a lower security epoch than one already here is refused."""
    forge.add_model("tiny", "2.0", seed=2, epoch=5)
    site.bring_in(forge.good("first"))
    forge.models.clear()
    forge.add_model("tiny", "2.1", seed=3, epoch=4)
    with pytest.raises(RollbackError, match="epoch 5 of this model was here before"):
        site.bring_in(forge.good("second", version=2))


def test_name_stays_with_its_publisher(
    site: Site, forge: BundleForge, stranger: BundleForge
) -> None:
    """A second trusted publisher cannot publish a version of the first one's model."""
    site.bring_in(forge.good())
    site.trust(stranger, "second publisher")
    stranger.add_model("tiny", "2.0", seed=5)
    with pytest.raises(ConflictError, match="belongs to another publisher"):
        site.bring_in(stranger.good())


def test_weights_keep_their_name(site: Site, forge: BundleForge) -> None:
    """Weights that are here under one name do not enter under another."""
    site.bring_in(forge.good("first"))
    forge.models.clear()
    forge.add_model("renamed", "1.0")
    with pytest.raises(ConflictError, match=r"are in the library as tiny 1\.0"):
        site.bring_in(forge.good("second", version=2))


def test_model_for_a_newer_engine_is_refused(site: Site, forge: BundleForge) -> None:
    """A model that needs a newer engine than this appliance has is refused before copying."""

    def later(targets: Targets) -> None:
        targets.targets["tiny-1.0/tiny.gguf"].custom["min_engine"] = "99.0"

    with pytest.raises(EngineTooOldError, match=r"needs engine 99\.0"):
        site.bring_in(forge.signed(forge.good(), later))
    assert site.files() == []
