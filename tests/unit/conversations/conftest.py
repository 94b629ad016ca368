"""Real databases, a real key file, and a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.conversations.store import Conversations
from appliance.database import Database
from appliance.sealing import KeyWrapper
from tests.simulators.fresh_state import fresh_database
from tests.simulators.manual_clock import ManualClock


@dataclass
class Site:
    """One state folder with its conversations open."""

    state: Path
    main: Database
    keys: Database
    clock: ManualClock
    store: Conversations


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    state = tmp_path / "state"
    state.mkdir()
    KeyWrapper.create_file(state / "content.key")
    wrapper = KeyWrapper.from_file(state / "content.key")
    main = fresh_database(state / "appliance.db", "appliance")
    keys = fresh_database(state / "keys.db", "keys")
    clock = ManualClock()
    yield Site(state, main, keys, clock, Conversations(main, keys, wrapper, clock))
    main.close()
    keys.close()


@pytest.fixture
def store(site: Site) -> Conversations:
    return site.store
