"""What every test may use. No test opens a socket beyond loopback (pytest-socket holds it)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.simulators.stack import Stack

# What shares the running appliance goes to one worker, so that it is started once in a run.
SHARING = (
    "tests/clients/",
    "tests/processes/test_lingering.py",
    "tests/processes/test_sealed.py",
)
# Begun first, so that no worker is left alone with one of them in the end.
LONG = (
    "tests/processes/test_faults.py",
    *SHARING,
    "tests/web/",
    "tests/unit/operations/",
    "tests/faults/",
    "tests/processes/",
    "tests/cli/",
    "tests/unit/bundles/",
    "tests/installer/",
)


class Scheduling(LoadFileScheduling):
    """Gives a whole file to one worker, and to one worker all files that share an appliance."""

    def _split_scope(self, nodeid: str) -> str:
        return "sharing" if nodeid.startswith(SHARING) else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        found = (number for number, start in enumerate(LONG) if item.nodeid.startswith(start))
        return next(found, len(LONG))

    items.sort(key=place)


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
