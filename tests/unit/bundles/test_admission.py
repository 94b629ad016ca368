"""What a valid signature cannot do: change a version, lower an epoch, take another's name."""

from __future__ import annotations

import shutil

import pytest
from tuf.api.metadata import Targets

from appliance.bundles.manifest import Denied
from appliance.bundles.refusals import (
    DeniedModelError,
    EngineTooOldError,
    LayoutError,
    RevokedPublisherError,
    RollbackError,
)
from appliance.errors import ConflictError
from tests.simulators.bundle_forge import BundleForge
from tests.unit.bundles.conftest import TIME, Site


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


def state_of(site: Site, version: str) -> str:
    return str(site.library.by_name("tiny", version).state)


def denial(site: Site, version: str) -> Denied:
    model = site.library.by_name("tiny", version)
    return Denied(model.digest, "tiny", version, "answers with made-up doses")


@pytest.fixture
def two(site: Site, forge: BundleForge) -> Site:
    """A library with two versions, of which the first is active."""
    forge.add_model("tiny", "1.0")
    forge.add_model("tiny", "1.1", seed=1)
    site.bring_in(forge.good("first"))
    first = site.library.by_name("tiny", "1.0")
    site.library.set_evaluated(first.id)
    site.library.set_approved(first.id, "usr_approver", {"clinician"})
    site.library.set_active(first.id)
    return site


def test_denied_model_is_quarantined_also_when_active(two: Site, forge: BundleForge) -> None:
    """A deny list alone takes the active model out of use, and the engine's note is gone."""
    forge.denied = [denial(two, "1.0")]
    forge.models.pop(0)
    assert two.bring_in(forge.good("second", version=2)) == ["tiny 1.1 imported"]
    model = two.library.by_name("tiny", "1.0")
    assert (model.state, model.reason) == (
        "quarantined",
        "denied by its publisher: answers with made-up doses",
    )
    assert not (two.library.folder / "active.json").exists()
    assert state_of(two, "1.1") == "imported"


def test_list_that_denies_and_carries_nothing_counts(two: Site, forge: BundleForge) -> None:
    """A bundle without any model withdraws all, named or not."""
    folder = forge.advisory("second", version=2, denied=[denial(two, "1.0")])
    assert two.bring_in(folder) == []
    assert (state_of(two, "1.0"), state_of(two, "1.1")) == ("quarantined", "quarantined")
    assert two.library.by_name("tiny", "1.1").reason == "no longer listed by its publisher"


def test_denied_model_does_not_enter(two: Site, forge: BundleForge) -> None:
    """A model that is listed, carried and denied is refused, and what runs of it is stopped."""
    forge.denied = [denial(two, "1.0")]
    with pytest.raises(DeniedModelError, match="made-up doses"):
        two.bring_in(forge.good("second", version=2))
    assert state_of(two, "1.0") == "quarantined"


def test_withdrawal_counts_although_the_bundle_is_refused(two: Site, forge: BundleForge) -> None:
    """A good list on a medium with bad files still takes back what it takes back."""
    forge.models.pop(0)
    folder = forge.good("second", version=2)
    (folder / "targets" / "tiny-1.1" / "extra").write_text("")
    with pytest.raises(LayoutError):
        two.bring_in(folder)
    assert (state_of(two, "1.0"), state_of(two, "1.1")) == ("quarantined", "imported")


def test_withdrawal_is_found_again_at_each_start(two: Site, forge: BundleForge) -> None:
    """When the quarantine itself was cut off, the kept list still says what must not be used."""
    forge.denied = [denial(two, "1.0")]
    forge.models.pop(0)
    folder = forge.good("second", version=2)
    with pytest.raises(KeyboardInterrupt):
        two.library.import_bundle([folder], TIME, "usr_steward", quarantine=cut_off)
    assert state_of(two, "1.0") == "active"
    ((model, reason),) = two.library.withdrawn()
    assert (model.version, reason) == ("1.0", "denied by its publisher: answers with made-up doses")
    two.library.quarantine(model.id, reason)
    assert two.library.withdrawn() == []


def cut_off(*_: object) -> None:
    raise KeyboardInterrupt


def test_model_that_is_listed_again_comes_back_as_imported(two: Site, forge: BundleForge) -> None:
    """A quarantine ends by an import alone, and the model is evaluated and approved anew."""
    two.bring_in(forge.advisory("second", version=2))
    assert two.bring_in(forge.good("third", version=3)) == [
        "tiny 1.0 imported",
        "tiny 1.1 imported",
    ]


def test_publisher_speaks_for_its_own_models_alone(
    two: Site, forge: BundleForge, stranger: BundleForge
) -> None:
    """What a second publisher denies of the first one's models changes nothing."""
    two.trust(stranger, "second publisher")
    stranger.add_model("other", "1.0", seed=7)
    stranger.denied = [denial(two, "1.0")]
    assert two.bring_in(stranger.good()) == ["other 1.0 imported"]
    assert state_of(two, "1.0") == "active"


def test_retired_model_stays_retired(two: Site, forge: BundleForge) -> None:
    """A model that answers nobody any more is left as it is."""
    two.library.retire(two.library.by_name("tiny", "1.1").id, "slow")
    forge.models.pop(1)
    two.bring_in(forge.good("second", version=2))
    assert state_of(two, "1.1") == "retired"


def test_publisher_that_lost_trust_is_refused(site: Site, forge: BundleForge) -> None:
    """No bundle of a publisher counts once trust in it was taken back, and its models neither."""
    site.bring_in(forge.good())
    (publisher,) = site.library.publishers()
    site.library.revoke_publisher(publisher.id, "usr_it")
    with pytest.raises(RevokedPublisherError):
        site.bring_in(forge.good("second", version=2))
    ((model, reason),) = site.library.withdrawn()
    assert (model.name, reason) == ("tiny", "trust in its publisher publisher was taken back")
