"""One engine of each kind, started once for all tests that leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines.places import KINDS, Place, open_place


@pytest.fixture(scope="session", params=KINDS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    found = open_place(request.param)
    yield found
    found.close()


@pytest.fixture(params=KINDS)
def doomed(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An engine of its own for a test that kills it."""
    found = open_place(request.param)
    yield found
    found.close()
