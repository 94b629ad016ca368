"""What every test may use. No test opens a socket beyond loopback (pytest-socket holds it)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulators.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running appliance with the demo model, shared by tests that leave it whole."""
    running = Stack(tmp_path_factory.mktemp("shared") / "state").start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A running appliance for one test that breaks it."""
    running = Stack.made_before(tmp_path / "state").start()
    yield running
    if running.process is not None:
        running.stop()
