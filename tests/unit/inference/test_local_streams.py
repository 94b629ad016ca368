"""Streams over a socket: every way to end a body is followed, every breakage is told apart."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import EngineDownError, EngineUnavailableError
from appliance.inference.local_streams import LocalStreams

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
Answer = Callable[[bytes], Path]


@pytest.fixture
def answer() -> Answer:
    """Return a function that makes a server, which says these bytes to whoever asks and leaves."""

    def serve(said: bytes) -> Path:
        path = Path(tempfile.mkdtemp(prefix="ls-")) / "s.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen()

        def once() -> None:
            with listener, listener.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(said)

        threading.Thread(target=once, daemon=True).start()
        return path

    return serve


def ask(path: Path, silence_s: float = 5.0) -> tuple[int, bytes]:
    with LocalStreams(path, 1.0, silence_s).post("/x", b"{}") as (status, chunks):
        return status, b"".join(chunks)


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy", b"busy"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_a_body_ends_where_its_head_says(answer: Answer, said: bytes, body: bytes) -> None:
    """Chunks, a length, or the end of the connection."""
    status, got = ask(answer(said))
    assert (status, got) == (int(said.split()[1]), body)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        CHUNKED + b"5\r\nab",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"zz\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"nonsense\r\n\r\n",
        b"x" * 100_000,
    ],
)
def test_half_an_answer_is_never_taken_for_a_whole_one(answer: Answer, said: bytes) -> None:
    """Whatever breaks off or makes no sense is an engine that is not available."""
    with pytest.raises(EngineUnavailableError):
        ask(answer(said))


def test_silence_is_an_engine_that_is_not_available() -> None:
    """A server that accepts and says nothing is given up after the time that was set."""
    path = Path(tempfile.mkdtemp(prefix="ls-")) / "s.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(EngineUnavailableError, match="in time"):
            ask(path, silence_s=0.2)


def test_nobody_there_is_an_engine_that_is_down(tmp_path: Path) -> None:
    """It is told apart, because what was never taken may be asked again."""
    with pytest.raises(EngineDownError):
        ask(tmp_path / "nothing.sock")


def test_closing_ends_what_another_thread_reads() -> None:
    """The reader gets an error at once, and whoever comes later is told that it is down."""
    path = Path(tempfile.mkdtemp(prefix="ls-")) / "s.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        streams = LocalStreams(path, 1.0, 30.0)
        timer = threading.Timer(0.2, streams.close)
        timer.start()
        with pytest.raises(EngineUnavailableError), streams.post("/x", b"{}") as (_, chunks):
            list(chunks)
        timer.join()
        with pytest.raises(EngineDownError), streams.post("/x", b"{}"):
            pass
