"""Real databases and a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import Gateway
from appliance.database import Database
from appliance.identity.accounts import User
from appliance.identity.roles import Role
from appliance.identity.store import People
from tests.simulators.fresh_state import fresh_database
from tests.simulators.manual_clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = fresh_database(tmp_path / "appliance.db", "appliance")
    yield made
    made.close()


@pytest.fixture
def people(database: Database, clock: ManualClock) -> People:
    return People(database, clock, Gateway())


@pytest.fixture
def ward(people: People) -> User:
    """A clinician to try things on."""
    return people.add("ward.one", Role.CLINICIAN, "$argon2id$made-up")
