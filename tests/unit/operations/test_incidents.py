"""Each restart of the engine stands in the record once, whatever dies in between."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.assembly import assemble
from appliance.audit.ledger import Receipt
from appliance.audit.query import Query
from appliance.config import Config
from appliance.errors import RecordUnavailableError
from appliance.inference.engine import EngineIncident, EngineStatus
from appliance.operations import Operations, operations_for
from tests.unit.operations.conftest import make_state

WHY = "it stopped answering"
AT = "2023-11-14T22:13:20.500Z"


@dataclass
class Telling:
    """An engine of which only the incidents matter here."""

    incidents: tuple[EngineIncident, ...] = ()

    def status(self, digest: str | None = None) -> EngineStatus:
        return EngineStatus("ready", incidents=self.incidents)

    def close(self) -> None:
        pass


@dataclass
class Losing:
    """A ledger that writes, and does not live to say so the first time."""

    inner: Any
    lost: bool = False

    def append(self, event: Any) -> Receipt:
        receipt: Receipt = self.inner.append(event)
        if not self.lost:
            self.lost = True
            raise RecordUnavailableError("the ledger ended")
        return receipt

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture(scope="module")
def made() -> Iterator[Config]:
    """A state folder that nobody changes; tests work on copies of it."""
    folder = Path(tempfile.mkdtemp(prefix="inc-"))
    yield make_state(folder)
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class House:
    """A gateway's verbs over an engine that tells what it is given."""

    config: Config
    verbs: Operations
    engine: Telling

    def record(self) -> list[dict[str, Any]]:
        ledger = self.verbs.appliance.ledger
        return list(ledger.search(Query(action="engine.restart")).entries)

    def again(self, **parts: Any) -> Operations:
        """Return the verbs of a gateway that was started again."""
        return operations_for(replace(self.verbs.appliance, **parts))


@pytest.fixture
def house(made: Config, tmp_path: Path) -> Iterator[House]:
    config = replace(made, state=tmp_path / "state")
    shutil.copytree(made.state, config.state)
    parts = assemble(config)
    engine = Telling()
    yield House(config, operations_for(replace(parts, engine=engine)), engine)
    parts.close()


def incident(house: House, number: int, reason: str = WHY) -> EngineIncident:
    digest = house.verbs.appliance.library.by_name("tiny").digest
    return EngineIncident(f"inc_{number:024x}", "restarted", digest, reason, 1_700_000_000.5)


def test_a_restart_is_recorded_with_its_model_and_reason(house: House) -> None:
    """The entry says which weights, why, and when it happened."""
    house.engine.incidents = (incident(house, 1),)
    assert house.verbs.incidents.note() == 1
    (entry,) = house.record()
    digest = house.engine.incidents[0].digest
    assert (entry["entity"], entry["outcome"]) == (house.engine.incidents[0].id, "success")
    assert entry["model"] == {"name": "tiny", "version": "1.0", "digest": digest}
    assert entry["content"] == {"digest": digest, "reason": WHY, "at": AT}


def test_what_is_told_again_is_not_recorded_again(house: House) -> None:
    """Not at the next look, and not by a gateway that has just started."""
    house.engine.incidents = (incident(house, 1), incident(house, 2))
    assert house.verbs.incidents.note() == 2
    assert house.verbs.incidents.note() == 0
    house.engine.incidents += (incident(house, 3),)
    assert house.again().incidents.note() == 1
    assert [entry["entity"][-1] for entry in house.record()] == ["3", "2", "1"]


def test_an_entry_whose_receipt_was_lost_is_found_again(house: House) -> None:
    """The ledger wrote it and died: nobody may write it a second time."""
    house.engine.incidents = (incident(house, 1), incident(house, 2))
    verbs = house.again(ledger=Losing(house.verbs.appliance.ledger))
    with pytest.raises(RecordUnavailableError):
        verbs.incidents.note()
    assert verbs.incidents.note() == 1
    assert len(house.record()) == 2


def test_an_engine_cannot_write_what_it_likes_into_the_record(house: House) -> None:
    """What has no id of our form is left out."""
    told = replace(incident(house, 1), id="x'); drop")
    house.engine.incidents = (told,)
    assert house.verbs.incidents.note() == 0
    assert house.record() == []


def test_the_restart_of_an_unknown_model_is_recorded_too(house: House) -> None:
    """The digest is all that there is to say of it."""
    house.engine.incidents = (replace(incident(house, 1), digest="f" * 64),)
    assert house.verbs.incidents.note() == 1
    assert house.record()[0]["content"]["digest"] == "f" * 64


def test_the_last_restart_of_each_model_is_known(house: House) -> None:
    """Also when the engine that told it has forgotten."""
    house.engine.incidents = (incident(house, 1, "first"), incident(house, 2, "second"))
    house.verbs.incidents.note()
    digest = house.engine.incidents[0].digest
    house.engine.incidents = ()
    house.verbs.incidents.note()
    assert house.verbs.incidents.latest()[digest].reason == "second"
