"""Two active models at once: each has its process, its part of the processors, its own end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.config import Engine as Settings
from appliance.inference.engine import EngineModel
from appliance.inference.manager import Manager
from appliance.inference.model_process import ModelProcess, Site
from appliance.inference.seats import Patience
from appliance.inference.sockets import SocketFolder
from appliance.inference.watchdog import Pace
from tests.simulators.engine_process import model_entry, put_model
from tests.simulators.managed_engine import LONG, ManagedEngine, eventually, long_answer


@dataclass(frozen=True)
class Both:
    """A running engine with two active models, and a third in the library."""

    managed: ManagedEngine
    first: str
    second: str
    third: str

    def name(self, first: str, second: str | None = None) -> None:
        """Change `active.json` as the library does."""
        given = {"model": model_entry(first)} | ({"beside": model_entry(second)} if second else {})
        draft = self.managed.library / "active.draft"
        draft.write_text(json.dumps(given))
        draft.rename(self.managed.library / "active.json")

    def ready(self, digest: str) -> bool:
        return self.managed.engine.status(digest).state == "ready"


@pytest.fixture(scope="module")
def running() -> Iterator[Both]:
    managed = ManagedEngine(max_answer_tokens=LONG)
    both = Both(managed, *(managed.put(seed, context=LONG) for seed in range(3)))
    both.name(both.first, both.second)
    managed.start()
    yield both
    managed.close()


@pytest.fixture
def both(running: Both) -> Both:
    """The engine that these tests share, with both models ready."""
    running.name(running.first, running.second)
    running.managed.engine.reload()
    eventually(lambda: running.ready(running.first) and running.ready(running.second))
    return running


def test_each_answers_under_its_own_digest(both: Both) -> None:
    """The status is the default's, and both are held as active."""
    managed = both.managed
    assert managed.engine.status().digest == both.first
    assert {managed.seats()[digest].role for digest in (both.first, both.second)} == {"active"}
    for digest in (both.first, both.second):
        assert managed.ask(digest).answer_tokens == 8


def test_one_that_ends_takes_nothing_from_the_other(both: Both) -> None:
    """An answer of the default goes on while the second model is killed and started again."""
    managed = both.managed
    before = managed.pids(both.second)
    with long_answer(managed, both.first) as steps:
        os.kill(before[-1], signal.SIGKILL)
        eventually(lambda: not set(before) & set(managed.pids(both.second)))
        assert next(steps)
    eventually(lambda: both.ready(both.second))
    assert managed.ask(both.second).answer_tokens == 8
    told = managed.engine.status().incidents[-1]
    assert told.digest == both.second
    assert "its process ended" in told.reason


def test_the_second_place_is_taken_over_and_left_without_a_gap(both: Both) -> None:
    """Its answers end with the model that began them, and the default is not touched."""
    managed, pids = both.managed, both.managed.pids(both.first)
    with long_answer(managed, both.second) as steps:
        managed.engine.prepare(managed.model(both.third))
        both.name(both.first, both.third)
        managed.engine.release(both.second)
        assert managed.ask(both.third).answer_tokens == 8
        assert managed.seats()[both.second].role == "draining"
        assert next(steps)
    both.name(both.first)
    managed.engine.reload()
    assert managed.seats()[both.third].role == "draining"
    assert managed.pids(both.first) == pids


def test_a_stopped_second_model_leaves_the_default_alone(both: Both) -> None:
    """As after a quarantine: its answer is cut off, the other one's is not."""
    managed = both.managed
    with long_answer(managed, both.first) as steps:
        both.name(both.first)
        managed.engine.stop(both.second)
        assert managed.pids(both.second) == []
        assert next(steps)


class Counting(ModelProcess):
    """A real process that notes how many threads it is told to use."""

    told: dict[str, list[int]]

    def use_threads(self, count: int) -> None:
        self.told.setdefault(self.model.digest, []).append(count)
        super().use_threads(count)


def test_the_processors_are_shared_out(tmp_path: Path) -> None:
    """Each of two gets its part when the second comes, and the first its whole part afterwards."""
    library, sockets = tmp_path / "models", tmp_path / "engines"
    library.mkdir()
    sockets.mkdir()
    digests = [put_model(library, seed=seed, activate=False) for seed in range(2)]
    active = [EngineModel.parse(model_entry(digests[0]))]
    Counting.told = {}
    settings = Settings(threads=1)
    site = Site(tmp_path, library, SocketFolder(sockets), settings, quiet=True)
    manager = Manager(
        library / "active.json",
        lambda: tuple(active),
        lambda model: Counting(site, model),
        Patience(pace=Pace(look=0.05)),
        lambda residents: 8 // residents,
    )
    manager.start()
    try:
        eventually(lambda: Counting.told.get(digests[0]) == [8])
        active.append(EngineModel.parse(model_entry(digests[1])))
        manager.reload()
        eventually(lambda: Counting.told.get(digests[1]) == [4])
        eventually(lambda: Counting.told[digests[0]] == [8, 4])
        del active[1]
        manager.reload()
        eventually(lambda: Counting.told[digests[0]] == [8, 4, 8])
        assert manager.status()["state"] == "ready"
    finally:
        manager.close()
