"""Records that the tests of the ledger work on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.index import Index
from appliance.audit.log import Log
from tests.unit.audit import samples
from tests.unit.audit.index_samples import Record, some


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """An empty record, open for writing."""
    running = samples.opened(samples.make(tmp_path))
    yield running
    running.close()


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    """A record of forty entries."""
    made = Record(tmp_path, some(40))
    yield made
    made.close()


@pytest.fixture
def index(record: Record) -> Iterator[Index]:
    """Its index, up to date."""
    opened = record.index()
    opened.catch_up(record.size)
    yield opened
    opened.close()
