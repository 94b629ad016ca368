"""What the desk publishes, a hospital imports: the two halves agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.bundles.desk import withdrawing
from appliance.bundles.publisher import ModelSource
from appliance.bundles.refusals import BundleError
from appliance.bundles.trust import fingerprint
from appliance.errors import ApplianceError
from tests.simulators.publisher_desk import TWO_MEDIA, PublisherDesk
from tests.unit.bundles.conftest import Site, open_site


@pytest.fixture
def hospital(tmp_path: Path, norm: PublisherDesk) -> Iterator[Site]:
    """A machine that trusts the three people's desk."""
    site, database = open_site(tmp_path / "state")
    root = norm.first_root
    site.library.add_publisher("norm", root, fingerprint(root), "usr_it")
    yield site
    database.close()


def test_a_bundle_on_two_sticks_imports_once_it_is_complete(
    norm: PublisherDesk, source: ModelSource, hospital: Site
) -> None:
    """Refused as a draft and with one signature, accepted with two."""
    size = source.gguf.stat().st_size // 2 + 1
    norm.build("a", "b", sources=[source], part_bytes=size, media_bytes=TWO_MEDIA)
    sticks = (norm.home / "a", norm.home / "b")
    with pytest.raises(BundleError):
        hospital.bring_in(*sticks)
    norm.sign("a", "b", by="bob")
    with pytest.raises(BundleError):
        hospital.bring_in(*sticks)
    norm.sign("a", "b", by="carol")
    assert hospital.bring_in(*sticks) == ["tiny 1.0 imported"]


def test_an_advisory_takes_a_model_back(
    norm: PublisherDesk, source: ModelSource, hospital: Site
) -> None:
    """A bundle without weights quarantines what it withdraws."""
    people = ("alice", "bob")
    hospital.bring_in(norm.publish("one", source, by=people))
    withdrawing.withdraw(norm.desk, "tiny", "1.0", "wrong doses")
    hospital.bring_in(norm.publish("two", by=people))
    (model,) = hospital.library.models()
    assert model.state == "quarantined"


def test_an_older_bundle_is_refused_after_a_newer_one(
    norm: PublisherDesk, source: ModelSource, hospital: Site
) -> None:
    """Versions given by the desk only grow, and hospitals hold it to that."""
    people = ("alice", "bob")
    old = norm.publish("one", source, by=people)
    hospital.bring_in(norm.publish("two", by=people))
    with pytest.raises(ApplianceError):
        hospital.bring_in(old)
