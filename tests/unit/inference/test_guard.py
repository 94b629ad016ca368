"""Models that live and answer nobody are started again: real processes, and one stand-in."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.config import Engine as Settings
from appliance.inference.engine import EngineModel, Generation, Sampling
from appliance.inference.local_engines import LocalEngines
from appliance.inference.manager import Manager
from appliance.inference.model_process import ModelProcess, Site
from appliance.inference.openai_engine import OpenAIEngine
from appliance.inference.seats import Patience
from appliance.inference.sockets import SocketFolder, socket_name
from appliance.inference.watchdog import NOTHING_WRITTEN, STOPPED, Pace
from tests.simulators.engine_process import model_entry, put_model
from tests.simulators.managed_engine import HELLO, eventually
from tests.simulators.wedged_server import Wedged

BRISK = Pace(every=0.3, look=0.05, silent=1.0, stuck=1.0, suspect=0.3, again=0.1, uncounted=60.0)


class StandIn(ModelProcess):
    """A model's process that does not run: the stand-in server in its place."""

    def __init__(self, sockets: SocketFolder, digest: str, *, steps_grow: bool) -> None:
        self._socket = sockets.path / socket_name(digest)
        self.wedged = Wedged(self._socket, digest, steps_grow=steps_grow)
        self.engine = OpenAIEngine(uds=sockets.address(digest))

    @property
    def ended_with(self) -> int | None:
        return None

    def end(self) -> None:
        self.wedged.end()
        self.engine.close()
        self._socket.unlink(missing_ok=True)


class Watched:
    """A manager with a brisk watchdog over one tiny model; `first` may stand in for its process."""

    def __init__(self, folder: Path, first: Callable[[SocketFolder, str], StandIn] | None) -> None:
        library, sockets = folder / "models", folder / "engines"
        library.mkdir()
        sockets.mkdir()
        self.digest = put_model(library)
        self.stands_in: StandIn | None = None
        self.processes: list[ModelProcess] = []
        self.engines = LocalEngines(folder / "none.sock", sockets)
        shared = SocketFolder(sockets)
        site = Site(folder, library, shared, Settings(threads=1), quiet=True)

        def start(model: EngineModel) -> ModelProcess:
            if first is not None and self.stands_in is None:
                self.stands_in = first(shared, model.digest)
                return self.stands_in
            self.processes.append(ModelProcess(site, model))
            return self.processes[-1]

        self.manager = Manager(
            library / "active.json",
            lambda: [EngineModel.parse(model_entry(self.digest))],
            start,
            Patience(pace=BRISK),
        )
        self.manager.start()

    def reasons(self) -> list[str]:
        return [item["reason"] for item in self.manager.status()["incidents"]]

    def answers(self) -> bool:
        """Let the model write a whole answer."""
        *_, end = self.engines.generate(Generation(self.digest, HELLO, Sampling(4)))
        return bool(end)

    def ready(self) -> bool:
        return bool(self.manager.status()["state"] == "ready")

    def close(self) -> None:
        self.manager.close()
        self.engines.close()


Watch = Callable[..., Watched]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    made: list[Watched] = []

    def make(first: Callable[[SocketFolder, str], StandIn] | None = None) -> Watched:
        made.append(Watched(tmp_path, first))
        return made[-1]

    yield make
    for watched in made:
        watched.close()


@pytest.mark.parametrize(
    ("number", "why"),
    [(signal.SIGSTOP, STOPPED), (signal.SIGKILL, "its process ended by signal 9")],
)
def test_a_stopped_or_killed_model_is_started_again(watch: Watch, number: int, why: str) -> None:
    """It answers again, the incident names why, and its old processes are gone."""
    watched = watch()
    eventually(watched.ready)
    old = watched.processes[0]._process
    os.killpg(old.pid, number)
    eventually(lambda: len(watched.processes) > 1 and watched.ready())
    assert watched.answers()
    assert watched.reasons() == [why]
    assert old.poll() == -signal.SIGKILL


def test_a_model_whose_worker_hangs_is_started_again(watch: Watch) -> None:
    """It says that it is ready and works, and yet no token comes."""
    watched = watch(lambda sockets, digest: StandIn(sockets, digest, steps_grow=False))
    eventually(lambda: watched.stands_in and watched.stands_in.wedged.asked)
    eventually(lambda: watched.processes and watched.ready())
    assert watched.answers()
    assert watched.reasons() == [NOTHING_WRITTEN]


def test_a_busy_model_is_left_alone(watch: Watch) -> None:
    """No token for the watchdog, but its steps grow: somebody else is being answered."""
    watched = watch(lambda sockets, digest: StandIn(sockets, digest, steps_grow=True))
    eventually(lambda: watched.stands_in and watched.stands_in.wedged.asked)
    looks = watched.stands_in.wedged.steps if watched.stands_in else 0
    enough = looks + 3 * BRISK.stuck / BRISK.look
    eventually(lambda: watched.stands_in and watched.stands_in.wedged.steps > enough)
    assert watched.processes == []
    assert watched.reasons() == []


def test_a_healthy_model_writes_tokens_on_a_schedule(watch: Watch) -> None:
    """Every test succeeds, and nothing is restarted for it."""
    watched = watch()
    eventually(watched.ready)
    seat = watched.manager._seats[watched.digest]
    eventually(lambda: seat.guard is not None)
    assert seat.guard is not None
    seen: list[float | None] = []

    def again() -> bool:
        assert seat.guard is not None
        due = seat.guard._watch._due
        if seat.guard._test is None and due not in seen:
            seen.append(due)
        return len(seen) > 3

    eventually(again)
    assert len(watched.processes) == 1
    assert watched.reasons() == []
