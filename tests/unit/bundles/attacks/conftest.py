"""One hospital for all attacks of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.bundles.attacks.hospital import Hospital, Publisher


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A machine that trusts whoever a test brings along."""
    site = Hospital(tmp_path_factory.mktemp("hospital"))
    yield site
    site.close()


@pytest.fixture
def publisher(hospital: Hospital) -> Publisher:
    """A publisher that this hospital trusts, with one model."""
    return hospital.publisher()
