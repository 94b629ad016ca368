"""The demo model of this repository: it enters by the same door as any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.bundles.refusals import ExpiredError
from tests.unit.bundles.conftest import TIME, Site

DEMO = Path(__file__).resolve().parents[3] / "models" / "demo"
BUNDLE = DEMO / "bundle"
YEAR_S = 365 * 86_400


@pytest.fixture
def trusting(bare_site: Site) -> Site:
    """A machine that trusts the demo's root by the fingerprint pinned in the repository."""
    root = (BUNDLE / "metadata" / "1.root.json").read_bytes()
    pinned = (DEMO / "root.sha256").read_text()
    bare_site.library.add_publisher("demo", root, pinned, "usr_it")
    return bare_site


def test_demo_enters_as_a_demo(trusting: Site) -> None:
    """The committed bundle imports under its pinned root, and is marked as a demo."""
    (model,) = trusting.library.import_bundle([BUNDLE], TIME, "usr_steward")
    assert (model.name, model.demo) == ("demo", True)


def test_demo_is_small_and_committed_once() -> None:
    """There is one GGUF of at most 8 MB under models/demo, inside the bundle."""
    (weights,) = DEMO.rglob("*.gguf")
    assert weights.is_relative_to(BUNDLE)
    assert weights.stat().st_size <= 8_000_000


def test_demo_stays_valid_for_years_and_not_for_ever(trusting: Site) -> None:
    """The demo's signature outlasts a release by years, and ends."""
    with pytest.raises(ExpiredError):
        trusting.library.import_bundle([BUNDLE], TIME + 12 * YEAR_S, "usr_steward")
    assert trusting.library.import_bundle([BUNDLE], TIME + 9 * YEAR_S, "usr_steward")
