"""Engines that die, hang or are not there: each failure has one class, whichever engine it is."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.errors import EngineDownError, EngineUnavailableError
from appliance.inference.engine import Delta, Engine, Generation, Sampling
from appliance.inference.ollama_engine import OllamaEngine
from appliance.inference.openai_engine import OpenAIEngine
from appliance.inference.openai_server import OpenAIServer
from tests.engines.places import KINDS, LONG, Place, adapter
from tests.engines.test_answers import GREEDY, HELLO
from tests.simulators.peers import Peer


def engine_at(kind: str, server: Peer, **more: float) -> Engine:
    if kind == "llama":
        more.pop("every_s", None)
        return OpenAIEngine(server.url, **more)
    return adapter(kind, server, **more)


@pytest.fixture(params=KINDS)
def absent(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine whose server was never started."""
    server = Peer()
    with closing(engine_at(request.param, server)) as engine:
        yield engine
    server.close()


def test_killed_midway_is_an_error_and_then_down(doomed: Place) -> None:
    """kill -9 during an answer ends the answer with an error, and not with silence."""
    long = Sampling(LONG - 1_000, temperature=1.0, seed=1)
    stream = doomed.engine.generate(Generation(doomed.digest, HELLO, long))
    assert any(isinstance(item, Delta) and item.text for item in stream)
    doomed.server.kill()
    with pytest.raises(EngineUnavailableError):
        list(stream)
    assert doomed.engine.status(doomed.digest).state == "down"
    with pytest.raises(EngineDownError):
        list(doomed.engine.generate(Generation(doomed.digest, HELLO, GREEDY)))


def test_not_running_is_down(absent: Engine) -> None:
    """Without a server, status says `down`, and everything else that nothing was begun."""
    assert absent.status().state == "down"
    digest = "f" * 64
    if isinstance(absent, OllamaEngine | OpenAIServer):
        digest = absent._library.active()[0].digest
    with pytest.raises(EngineDownError):
        list(absent.generate(Generation(digest, HELLO, GREEDY)))
    with pytest.raises(EngineDownError):
        absent.count_tokens(digest, HELLO)
    with pytest.raises(EngineDownError):
        absent.embed(digest, ("hello",))


@contextmanager
def silent(port: int) -> Iterator[None]:
    """Accept connections and say nothing."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_a_silent_server_is_given_up(kind: str) -> None:
    """A server that accepts and says nothing counts as dead after a while, not never."""
    server = Peer()
    with silent(server.port), closing(engine_at(kind, server, silence_s=0.3)) as engine:
        with pytest.raises(EngineUnavailableError, match="in time"):
            list(engine.generate(Generation(server.digest, HELLO, GREEDY)))
        assert engine.status().state == "down"
    server.close()


def test_signs_of_life_come_while_a_server_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a server of others reads a long prompt, the caller hears twice a second, and closing
    ends the connection at once."""
    server = Peer()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", server.port))
        listening.listen()
        ended = threading.Event()

        def swallow() -> None:
            connection, _ = listening.accept()
            with connection:
                while connection.recv(65_536):
                    pass
            ended.set()

        with closing(adapter("llama-server", server, every_s=0.05)) as engine:
            monkeypatch.setattr(engine, "_served", lambda model: SimpleNamespace(reads_tools=True))
            swallower = threading.Thread(target=swallow)
            swallower.start()
            stream = engine.generate(Generation(server.digest, HELLO, GREEDY))
            assert [next(stream) for _ in range(3)] == [Delta("")] * 3
            before = time.monotonic()
            stream.close()
            assert ended.wait(5)
            assert time.monotonic() - before < 1
            swallower.join()
    server.close()


def test_a_socket_that_is_not_there_is_down(tmp_path: Path) -> None:
    """Our own engine's socket may be missing, too."""
    with closing(OpenAIEngine(uds=tmp_path / "none.sock")) as engine:
        assert engine.status().state == "down"
