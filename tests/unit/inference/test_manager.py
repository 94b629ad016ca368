"""The manager of the models' processes: real llama.cpp, real sockets, real deaths."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from appliance.errors import ApplianceError, EngineDownError, EngineUnavailableError
from appliance.inference.engine import Engine, Finished, Generation, Sampling
from tests.simulators.managed_engine import HELLO, LONG, ManagedEngine, eventually, long_answer

FAR = 20_000_000_000  # bytes of nothing; to hash them takes far longer than any test


@pytest.fixture
def managed() -> Iterator[ManagedEngine]:
    """An engine of one test's own, not started yet."""
    own = ManagedEngine(max_answer_tokens=LONG)
    yield own
    own.close()


@dataclass(frozen=True)
class Pair:
    """A running engine with `old` active, and `new` in the library beside it."""

    managed: ManagedEngine
    old: str
    new: str


@pytest.fixture(scope="module")
def running() -> Iterator[Pair]:
    own = ManagedEngine(max_answer_tokens=LONG)
    old = own.put(active=True, context=LONG)
    yield Pair(own.start(), old, own.put(1))
    own.close()


@pytest.fixture
def pair(running: Pair) -> Iterator[Pair]:
    """The engine that these tests share; `new` may be there still, as after any switch back."""
    managed = running.managed
    yield running
    managed.activate(running.old)
    managed.engine.reload()
    managed.wait("ready", running.old)


def endless_weights(managed: ManagedEngine) -> str:
    """Put a file into the library whose verification does not end while a test lasts."""
    digest = "e" * 64
    with (managed.library / f"{digest}.gguf").open("wb") as file:
        file.truncate(FAR)
    return digest


def preparing(managed: ManagedEngine, digest: str) -> tuple[threading.Thread, list[ApplianceError]]:
    """Begin to prepare a model in a thread; return it once the model's process exists."""
    errors: list[ApplianceError] = []

    def prepare() -> None:
        try:
            managed.engine.prepare(managed.model(digest))
        except ApplianceError as error:
            errors.append(error)

    thread = threading.Thread(target=prepare, daemon=True)
    thread.start()
    eventually(lambda: len(managed.pids(digest)) > 1)
    return thread, errors


def test_it_is_an_engine(pair: Pair) -> None:
    """The class fits the protocol, and says of itself what the active model's process says."""
    managed, digest = pair.managed, pair.old
    as_engine: Engine = managed.engine
    status = as_engine.status()
    assert (status.state, status.digest, status.context_tokens) == ("ready", digest, LONG)
    assert managed.seats()[digest].role == "active"
    assert as_engine.count_tokens(digest, HELLO) == managed.ask(digest).prompt_tokens


def test_answers_under_way_end_with_the_model_that_began_them(pair: Pair) -> None:
    """Two that were asked before get their whole answers, while the new model answers."""
    managed, old, new = pair.managed, pair.old, pair.new
    with long_answer(managed, old):
        waiting = managed.engine.generate(Generation(old, HELLO, Sampling(30)))
        next(waiting)
        managed.switch(old, new)
        assert managed.ask(new).answer_tokens == 8
        status = managed.engine.status(old)
        assert status.running + status.waiting >= 2
        assert managed.seats()[old].role == "draining"
    *_, end = waiting
    assert isinstance(end, Finished)
    assert end.answer_tokens == 30


def test_no_question_fails_while_models_are_switched(pair: Pair) -> None:
    """Questions for the active model, asked all the time during three switches, are answered."""
    managed, models = pair.managed, (pair.old, pair.new)
    done, failures, answered = threading.Event(), list[ApplianceError](), list[Finished]()

    def ask_on() -> None:
        while not done.is_set():
            named = json.loads((managed.library / "active.json").read_text())["model"]["digest"]
            try:
                answered.append(managed.ask(named))
            except ApplianceError as error:
                failures.append(error)

    threads = [threading.Thread(target=ask_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for old, new in ((0, 1), (1, 0), (0, 1)):
            seen = len(answered)
            managed.switch(models[old], models[new])
            eventually(lambda seen=seen: failures or len(answered) > seen + 3)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert {end.answer_tokens for end in answered} == {8}


def test_a_switch_back_finds_the_old_model_still_there(pair: Pair) -> None:
    """A model that has not ended yet is taken back with its process and its answers."""
    managed, old, new = pair.managed, pair.old, pair.new
    pids = managed.pids(old)
    with long_answer(managed, old) as steps:
        managed.switch(old, new)
        managed.switch(new, old)
        assert managed.pids(old) == pids
        assert next(steps)
    assert managed.engine.status().digest == old


def test_a_model_killed_is_back_and_the_manager_lives(pair: Pair) -> None:
    """kill -9 of worker or master costs the running answer; the manager is the same process."""
    managed, digest = pair.managed, pair.old
    assert managed.process is not None
    for which in (-1, 0):
        before = managed.pids(digest)
        with long_answer(managed, digest) as steps:
            os.kill(before[which], signal.SIGKILL)
            with pytest.raises(EngineUnavailableError):
                list(steps)
        eventually(lambda before=before: not set(before) & set(managed.pids(digest)))
        managed.wait("ready", digest)
        assert managed.ask(digest).answer_tokens == 8
    assert managed.process.poll() is None


def test_a_model_whose_socket_was_removed_is_started_again(pair: Pair) -> None:
    """Nobody could reach it any more, however well it is."""
    before = pair.managed.pids(pair.old)
    (pair.managed.sockets / f"{pair.old[:16]}.sock").unlink()
    eventually(lambda: not set(before) & set(pair.managed.pids(pair.old)))
    pair.managed.wait("ready", pair.old)
    assert pair.managed.ask(pair.old).answer_tokens == 8


def test_a_folder_of_sockets_that_was_removed_is_made_again(pair: Pair) -> None:
    """The model is back, and who asked it before finds it there, without a restart of either."""
    managed, digest = pair.managed, pair.old
    assert managed.ask(digest).answer_tokens == 8
    shutil.rmtree(managed.sockets)
    eventually(lambda: managed.sockets.exists() and managed.engine.status(digest).state == "ready")
    assert managed.ask(digest).answer_tokens == 8
    assert managed.sockets.stat().st_mode & 0o777 == 0o700


def test_a_candidate_killed_midway_changes_nothing(pair: Pair) -> None:
    """The activation hears why; the old model answers, and the next candidate finds room."""
    managed, old, new = pair.managed, pair.old, pair.new
    managed.engine.stop(new)
    endless = endless_weights(managed)
    thread, errors = preparing(managed, endless)
    assert managed.ask(old).answer_tokens == 8
    os.kill(managed.pids(endless)[-1], signal.SIGKILL)
    thread.join()
    assert "while it was loaded" in errors[0].message
    assert managed.engine.status().digest == old
    managed.switch(old, new)
    assert managed.ask(new).answer_tokens == 8


def test_the_manager_killed_takes_its_models_along(managed: ManagedEngine) -> None:
    """No orphan keeps memory or a socket; the next start holds what is active, and that alone."""
    old, endless = managed.put(active=True), endless_weights(managed)
    managed.start()
    thread, errors = preparing(managed, endless)
    managed.kill()
    thread.join()
    assert "broke" in errors[0].message
    eventually(lambda: not managed.pids(old) + managed.pids(endless))
    assert managed.engine.status(old).state == "down"
    (managed.sockets / "0123456789abcdef.sock").touch()
    managed.start()
    assert managed.ask(old).answer_tokens == 8
    assert set(managed.seats()) == {old}
    assert [path.stem for path in managed.sockets.iterdir()] == [old[:16]]


def test_a_model_that_cannot_answer_is_not_prepared(pair: Pair) -> None:
    """Damaged, missing, unsuited or with a template that refuses: each says why, all else stays."""
    managed, old = pair.managed, pair.old
    managed.engine.stop(pair.new)
    damaged = managed.put(4)
    with (managed.library / f"{damaged}.gguf").open("ab") as file:
        file.write(b"\0")
    refusing = managed.put(2, template="{{ raise_exception('nobody may speak') }}")
    for digest, why in (
        (damaged, "other content"),
        ("f" * 64, "not in the library"),
        (managed.put(3, byte_tokens=False), "byte tokens"),
        (refusing, "nobody may speak"),
    ):
        with pytest.raises(EngineUnavailableError, match=why) as caught:
            managed.engine.prepare(managed.model(digest))
        assert not isinstance(caught.value, EngineDownError)
        assert set(managed.seats()) == {old}
        assert managed.ask(old).answer_tokens == 8


def test_without_a_manager_nothing_can_be_prepared(managed: ManagedEngine) -> None:
    """That is told apart from a model that cannot answer: the database may decide then."""
    digest = managed.put(active=True)
    for attempt in (
        lambda: managed.engine.prepare(managed.model(digest)),
        lambda: managed.engine.reload(),
        lambda: managed.ask(digest),
    ):
        with pytest.raises(EngineDownError):
            attempt()
    assert managed.engine.status().state == managed.engine.status(digest).state == "down"


def test_a_withdrawn_model_ends_at_once(pair: Pair) -> None:
    """With no active model any more, a running answer ends with an error and nothing answers."""
    managed, digest = pair.managed, pair.old
    with long_answer(managed, digest) as steps:
        (managed.library / "active.json").unlink()
        managed.engine.reload()
        assert managed.pids(digest) == []
        with pytest.raises(EngineUnavailableError):
            list(steps)
    assert managed.engine.status().state == managed.engine.status(digest).state == "empty"
    with pytest.raises(EngineUnavailableError):
        managed.ask(digest)


def test_a_replaced_model_can_be_stopped_at_once(pair: Pair) -> None:
    """A model that drains and turns out to be bad does not finish its answers."""
    managed, old, new = pair.managed, pair.old, pair.new
    with long_answer(managed, old) as steps:
        managed.switch(old, new)
        managed.engine.stop(old)
        with pytest.raises(EngineUnavailableError):
            list(steps)
    assert set(managed.seats()) == {new}


def test_the_file_alone_moves_the_engine(pair: Pair) -> None:
    """When nobody tells the manager, it sees by itself that another model is active."""
    managed, old, new = pair.managed, pair.old, pair.new
    managed.activate(new)
    eventually(lambda: managed.engine.status().digest == new)
    assert managed.ask(new).answer_tokens == 8
    assert managed.seats()[old].role == "draining"


def test_without_a_sensible_active_model_the_engine_is_empty(managed: ManagedEngine) -> None:
    """It says why, takes up the model that is activated later, and a repaired one on reload."""
    managed.start(until="empty")
    assert "no model is active" in managed.engine.status().detail
    (managed.library / "active.json").write_text("{}")
    managed.engine.reload()
    assert "active.json" in managed.engine.status().detail
    path = managed.library / f"{managed.put()}.gguf"
    good = path.read_bytes()
    path.write_bytes(good + b"\0")
    managed.activate(path.stem)
    eventually(lambda: "other content" in managed.engine.status().detail)
    path.write_bytes(good)
    managed.engine.reload()
    managed.wait("ready")


def test_the_template_of_the_library_takes_the_place_of_the_weights_own(
    pair: Pair,
) -> None:
    """A signed template changes the prompt; one that was altered is not used at all."""
    managed, digest = pair.managed, pair.old
    own = managed.ask(digest).prompt_tokens
    text = b"{% for m in messages %}{{ m['content'] }}{{ m['content'] }}{% endfor %}"
    name = hashlib.sha256(text).hexdigest()
    (managed.library / f"{name}.template").write_bytes(text)
    managed.activate(digest, template_sha256=name)
    managed.engine.reload()
    managed.wait("ready", digest)
    assert managed.ask(digest).prompt_tokens != own
    (managed.library / f"{name}.template").write_bytes(text + b" ")
    managed.engine.stop(digest)
    assert "not what was signed" in managed.wait("empty").detail


def test_the_manager_never_loads_llama_cpp(pair: Pair) -> None:
    """Neither gunicorn's master nor the manager has its library in memory; the model's has."""
    managed, digest = pair.managed, pair.old
    assert managed.process is not None
    children = f"/proc/{managed.process.pid}/task/{managed.process.pid}/children"
    with open(children) as file:
        pids = [managed.process.pid, *map(int, file.read().split())]
    assert len(pids) == 2

    def mapped(pid: int) -> bool:
        with open(f"/proc/{pid}/maps") as maps:
            return "libllama" in maps.read()

    assert [mapped(pid) for pid in (*pids, managed.pids(digest)[-1])] == [False, False, True]


def test_a_bad_request_is_refused_in_plain_words(pair: Pair) -> None:
    """What is no model is not prepared, and the manager goes on."""
    managed = pair.managed
    with managed.control() as control:
        for path, body in (
            ("/prepare", {}),
            ("/prepare", {"model": {"name": "x", "version": "1", "digest": "../x"}}),
            ("/release", {"digest": 5}),
        ):
            with pytest.raises(ApplianceError):
                control._connection.call("POST", path, body)
    assert managed.engine.status().state == "ready"
