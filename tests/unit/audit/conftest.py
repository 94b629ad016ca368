"""Records that the tests of the ledger work on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.log import Log
from tests.unit.audit import samples


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """An empty record, open for writing."""
    running = samples.opened(samples.make(tmp_path))
    yield running
    running.close()
