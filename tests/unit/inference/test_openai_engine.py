"""The engine as the gateway sees it: real HTTP, real llama.cpp, real failures."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.errors import (
    BadInputError,
    ContextOverflowError,
    EngineDownError,
    EngineUnavailableError,
)
from appliance.inference.engine import (
    Delta,
    Engine,
    Finished,
    Generation,
    Message,
    Queued,
    Sampling,
)
from appliance.inference.openai_engine import OpenAIEngine
from tests.simulators.engine_process import EngineProcess, put_model

LONG = 131_072
HELLO = (Message("system", "be kind"), Message("user", "hello"))


@pytest.fixture(scope="module")
def process() -> Iterator[EngineProcess]:
    own = EngineProcess(max_answer_tokens=LONG)
    put_model(own.library, context=LONG)
    yield own.start()
    own.close()


@pytest.fixture
def engine(process: EngineProcess) -> Iterator[OpenAIEngine]:
    with closing(OpenAIEngine(uds=process.socket)) as own:
        yield own


@pytest.fixture
def digest(engine: OpenAIEngine) -> str:
    digest = engine.status().digest
    assert digest is not None
    return digest


def said(engine: OpenAIEngine, asked: Generation) -> str:
    """Return the whole text of an answer; how many pieces it came in is up to the machine."""
    return "".join(piece.text for piece in engine.generate(asked) if isinstance(piece, Delta))


def test_it_is_an_engine(engine: OpenAIEngine) -> None:
    """The class fits the protocol that everything else is built on."""
    as_engine: Engine = engine
    assert as_engine.status().state == "ready"
    assert as_engine.status().context_tokens == LONG


def test_an_answer_is_streamed(engine: OpenAIEngine, digest: str) -> None:
    """Pieces come, then the end with exact counts."""
    *pieces, end = engine.generate(Generation(digest, HELLO, Sampling(20)))
    assert end == Finished("length", engine.count_tokens(digest, HELLO), 20)
    assert all(isinstance(piece, Delta | Queued) for piece in pieces)


def test_sampling_reaches_the_model(engine: OpenAIEngine, digest: str) -> None:
    """Seed, temperature and stop texts change the answer as they should."""
    warm = Sampling(40, temperature=1.0, top_p=0.9, seed=5)
    text = said(engine, Generation(digest, HELLO, warm))
    assert said(engine, Generation(digest, HELLO, warm)) == text
    stopped = Sampling(40, temperature=1.0, top_p=0.9, seed=5, stop=(text[5:9],))
    *pieces, end = engine.generate(Generation(digest, HELLO, stopped))
    assert isinstance(end, Finished)
    assert end.reason == "stop"
    shown = "".join(piece.text for piece in pieces if isinstance(piece, Delta))
    assert shown == text[: text.index(text[5:9])]


def test_closing_the_iterator_cancels(
    process: EngineProcess, engine: OpenAIEngine, digest: str
) -> None:
    """After close the engine is free, though the answer had far to go."""
    stream = engine.generate(Generation(digest, HELLO, Sampling(LONG)))
    next(iter(stream))
    process.wait(running=1)
    stream.close()
    process.wait(running=0)


def test_a_place_in_the_queue_is_told(engine: OpenAIEngine, digest: str) -> None:
    """The second of two requests hears that it is next."""
    first = engine.generate(Generation(digest, HELLO, Sampling(LONG)))
    next(iter(first))
    second = engine.generate(Generation(digest, HELLO, Sampling(5)))
    assert next(iter(second)) == Queued(0)
    first.close()
    assert isinstance(list(second)[-1], Finished)


def test_odd_characters_do_not_break_the_request(engine: OpenAIEngine, digest: str) -> None:
    """A lone surrogate, which JSON libraries choke on, is replaced on the way."""
    odd = (Message("user", "\ud800\x00🙂"),)
    assert list(engine.generate(Generation(digest, odd, Sampling(3))))[-1]


def test_errors_of_the_engine_keep_their_class(engine: OpenAIEngine, digest: str) -> None:
    """Too long, out of range and wrong model arrive as what they are."""
    too_long = (Message("user", "x" * 200_000),)
    with pytest.raises(ContextOverflowError, match="131072"):
        list(engine.generate(Generation(digest, too_long, Sampling(5))))
    with pytest.raises(BadInputError, match="temperature"):
        list(engine.generate(Generation(digest, HELLO, Sampling(5, temperature=9))))
    with pytest.raises(EngineUnavailableError, match="another model"):
        list(engine.generate(Generation("f" * 64, HELLO, Sampling(5))))
    with pytest.raises(ContextOverflowError):
        engine.count_tokens(digest, (Message("user", "x" * 3_000_000),))


def test_an_engine_that_is_not_there_is_down(tmp_path: Path) -> None:
    """Without a process, status says `down` and everything else is unavailable."""
    with closing(OpenAIEngine(uds=tmp_path / "none.sock")) as engine:
        assert engine.status().state == "down"
        with pytest.raises(EngineUnavailableError, match="not running"):
            list(engine.generate(Generation("f" * 64, HELLO, Sampling(5))))
        with pytest.raises(EngineUnavailableError, match="not running"):
            engine.reload()


def test_an_engine_let_go_by_another_thread_is_down(process: EngineProcess, digest: str) -> None:
    """A model's process may end, and its client with it, while somebody is about to ask."""
    engine = OpenAIEngine(uds=process.socket)
    engine.close()
    assert engine.status().state == "down"
    with pytest.raises(EngineDownError):
        list(engine.generate(Generation(digest, HELLO, Sampling(3))))


def test_an_engine_killed_midway_is_unavailable() -> None:
    """kill -9 during an answer ends the answer with an error, and not with silence."""
    process = EngineProcess(max_answer_tokens=LONG)
    try:
        digest = put_model(process.library, context=LONG)
        process.start()
        with closing(OpenAIEngine(uds=process.socket)) as engine:
            stream = engine.generate(Generation(digest, HELLO, Sampling(LONG)))
            next(iter(stream))
            process.kill()
            with pytest.raises(EngineUnavailableError):
                list(stream)
            assert engine.status().state == "down"
    finally:
        process.close()


def test_an_engine_that_hangs_is_given_up(tmp_path: Path) -> None:
    """A process that accepts and then says nothing counts as dead after `silence_s`."""
    place = tmp_path / "hang.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(place))
        silent.listen()
        with (
            closing(OpenAIEngine(uds=place, silence_s=0.2)) as engine,
            pytest.raises(EngineUnavailableError, match="in time"),
        ):
            list(engine.generate(Generation("f" * 64, HELLO, Sampling(5))))


def test_another_server_speaking_nonsense_is_unavailable(tmp_path: Path) -> None:
    """Bytes that are no HTTP at all are an error of the engine, not a crash here."""
    place = tmp_path / "odd.sock"
    with socket.socket(socket.AF_UNIX) as odd:
        odd.bind(str(place))
        odd.listen()

        def speak() -> None:
            connection, _ = odd.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(os.urandom(64) + b"\r\n\r\n")

        speaker = threading.Thread(target=speak)
        speaker.start()
        with closing(OpenAIEngine(uds=place)) as engine, pytest.raises(EngineUnavailableError):
            list(engine.generate(Generation("f" * 64, HELLO, Sampling(5))))
        speaker.join()
