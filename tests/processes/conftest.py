"""A record with a life of its own, and a witness beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.witness_folder import WitnessFolder
from appliance.clock import System
from tests.simulators.witness_site import Serving, Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A record with a few entries."""
    made = Site(tmp_path / "site").grow(5)
    yield made
    made.log.close()


@pytest.fixture
def witness(site: Site, tmp_path: Path) -> Iterator[Serving]:
    """A witness that was made with the record's newest key."""
    folder = tmp_path / "witness"
    newest = VerifierKey.parse(site.log.keys()[-1].key)
    made = WitnessFolder.create(folder, "witness.example/w1", newest, System())
    serving = Serving(folder, made.key).start()
    yield serving
    if serving.process is not None and serving.process.poll() is None:
        serving.stop()
