"""A small site's desk, and one of three people of whom two must sign."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.bundles.publisher import ModelSource
from tests.simulators.publisher_desk import PublisherDesk, write_source


@pytest.fixture
def small(tmp_path: Path) -> PublisherDesk:
    """One key for everything."""
    return PublisherDesk(tmp_path / "small")


@pytest.fixture
def norm(tmp_path: Path) -> PublisherDesk:
    """Two of three people for root and targets."""
    return PublisherDesk(tmp_path / "norm", ("alice", "bob", "carol"), 2)


@pytest.fixture
def source(tmp_path: Path) -> ModelSource:
    """A tiny model to publish."""
    return write_source(tmp_path / "source")
