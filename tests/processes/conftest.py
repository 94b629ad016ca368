"""A record with a life of its own, and a witness beside it; an appliance that gets about again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.witness_folder import WitnessFolder
from appliance.clock import System
from tests.simulators.stack import Stack
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
        serving.kill()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running appliance for all tests of a file that leave it as they found it."""
    running = Stack.made_before(tmp_path_factory.mktemp("lasting") / "state").start()
    yield running
    if running.process is not None:
        running.stop()


@pytest.fixture
def mended(lasting: Stack) -> Stack:
    """That appliance; started again where the test before failed and left it down."""
    if lasting.process is None or lasting.process.poll() is not None:
        lasting.start()
    return lasting
