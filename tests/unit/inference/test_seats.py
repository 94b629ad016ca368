"""How long the manager waits for what: with short patience, in this process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.config import Engine as Settings
from appliance.errors import ConflictError, EngineUnavailableError
from appliance.inference import manager, openai_engine
from appliance.inference.engine import EngineModel, Generation, Sampling
from appliance.inference.local_engines import LocalEngines
from appliance.inference.manager import Manager
from appliance.inference.model_process import ModelProcess, Site
from appliance.inference.seats import Patience
from appliance.inference.sockets import SocketFolder
from appliance.llama.library_view import read_active
from tests.simulators.engine_process import PATIENCE_S, activate_model, model_entry, put_model
from tests.simulators.managed_engine import HELLO, LONG, eventually

NEVER = 1_000.0


class Held:
    """A manager in this process, over a library with two tiny models; the first is active."""

    def __init__(self, folder: Path, patience: Patience) -> None:
        self.library, self.sockets = folder / "models", folder / "engines"
        self.library.mkdir()
        self.sockets.mkdir()
        self.first = put_model(self.library, context=LONG)
        self.second = put_model(self.library, seed=1, activate=False)
        self.engines = LocalEngines(folder / "none.sock", self.sockets)
        settings = Settings(threads=1, max_answer_tokens=LONG)
        site = Site(folder, self.library, SocketFolder(self.sockets), settings, quiet=True)
        self.manager = Manager(
            self.library / "active.json",
            self._active,
            lambda model: ModelProcess(site, model),
            patience,
        )
        self.manager.start()
        self.manager.prepare(model_entry(self.first))

    def _active(self) -> list[EngineModel]:
        return [EngineModel(**vars(found)) for found in read_active(self.library)]

    def unreadable(self) -> list[EngineModel]:
        raise EngineUnavailableError("the disk does not answer")

    def switch(self) -> None:
        self.manager.prepare(model_entry(self.second))
        activate_model(self.library, self.second)
        self.manager.release(self.first)

    def held(self) -> set[str]:
        return {seat["digest"] for seat in self.manager.status()["seats"]}

    def close(self) -> None:
        self.manager.close()
        self.engines.close()


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[Patience], Held]]:
    made: list[Held] = []

    def make(patience: Patience) -> Held:
        made.append(Held(tmp_path, patience))
        return made[-1]

    yield make
    for held in made:
        held.close()
        assert list(held.sockets.iterdir()) == []


def test_a_replaced_model_ends_after_its_last_answer(hold: Callable[[Patience], Held]) -> None:
    """While an answer runs it stays, however long; then it ends and its memory is free."""
    held = hold(Patience(linger=0.0))
    request = Generation(held.first, HELLO, Sampling(LONG))
    with closing(held.engines.generate(request)) as steps:
        next(steps)
        held.switch()
        held.manager._patience = Patience(room=0.0)
        with pytest.raises(ConflictError, match="still finishes"):
            held.manager.prepare(model_entry("a" * 64))
        assert held.held() == {held.first, held.second}
        assert next(steps)
    eventually(lambda: held.held() == {held.second})


def test_an_answer_that_does_not_end_is_ended_with_its_model(
    hold: Callable[[Patience], Held],
) -> None:
    """After `drain` seconds a replaced model ends, whatever it is writing."""
    held = hold(Patience(drain=0.0, linger=NEVER))
    request = Generation(held.first, HELLO, Sampling(LONG))
    with closing(held.engines.generate(request)) as steps:
        next(steps)
        held.switch()
        with pytest.raises(EngineUnavailableError):
            list(steps)
    eventually(lambda: held.held() == {held.second})


def test_a_candidate_that_nobody_activates_ends(hold: Callable[[Patience], Held]) -> None:
    """Whoever prepared it may have died; the active model is not touched."""
    held = hold(Patience(unclaimed=0.0))
    held.manager.prepare(model_entry(held.second))
    eventually(lambda: held.held() == {held.first})
    assert held.manager.status()["state"] == "ready"


def test_a_model_that_does_not_get_ready_is_given_up(hold: Callable[[Patience], Held]) -> None:
    """Its process ends, and the reason is a time."""
    held = hold(Patience())
    endless = "e" * 64
    with (held.library / f"{endless}.gguf").open("wb") as file:
        file.truncate(20_000_000_000)
    held.manager._patience = Patience(load=0.0)
    with pytest.raises(EngineUnavailableError, match="not ready within"):
        held.manager.prepare(model_entry(endless))
    assert held.held() == {held.first}


def test_an_active_model_may_take_its_time(
    hold: Callable[[Patience], Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing else that could answer, a slow disk is no reason to give it up."""
    monkeypatch.setattr(manager, "END_WITHIN_S", PATIENCE_S)
    held = hold(Patience(load=0.0))
    assert held.manager.status()["state"] == "ready"


def test_a_model_too_busy_to_say_anything_is_not_idle(
    hold: Callable[[Patience], Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replaced model that does not show how many answers it writes may write some."""
    held = hold(Patience(linger=0.0))
    seat = held.manager._seats[held.first]
    assert seat.process is not None
    request = Generation(held.first, HELLO, Sampling(LONG))
    with closing(held.engines.generate(request)) as steps:
        next(steps)
        monkeypatch.setattr(openai_engine, "STATUS_S", 0.2)
        os.killpg(seat.process._process.pid, signal.SIGSTOP)
        activate_model(held.library, held.second)
        held.manager.release(held.first)
        eventually(lambda: seat.doomed or seat.busy_at)
        assert not seat.doomed
        os.killpg(seat.process._process.pid, signal.SIGCONT)
        assert next(steps)
    eventually(lambda: held.held() == {held.second})


def test_what_could_not_be_read_once_is_read_again(hold: Callable[[Patience], Held]) -> None:
    """A passing fault of the disk ends what answers, but not for good."""
    held = hold(Patience())
    read = held.manager._read_active
    held.manager._read_active = held.unreadable
    held.manager.reload()
    assert held.manager.status()["detail"].startswith("the disk does not answer")
    held.manager._read_active = read
    eventually(lambda: held.manager.status()["state"] == "ready")
    assert held.held() == {held.first}
