"""Answers of a server that means no good, or is broken."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from appliance.errors import EngineUnavailableError
from appliance.inference import connection as module
from appliance.inference.connection import Connection

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@contextlib.contextmanager
def server(piece: bytes, pause_s: float, head: bytes = HEAD) -> Iterator[Connection]:
    """Yield a connection to a server that answers with one piece after another, without end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak() -> None:
            with contextlib.suppress(OSError):
                caller, _ = listening.accept()
                with caller:
                    caller.recv(65_536)
                    caller.sendall(head)
                    while True:
                        caller.sendall(piece)
                        time.sleep(pause_s)

        speaker = threading.Thread(target=speak)
        speaker.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with contextlib.closing(Connection(address, None, 1.0, 1.0)) as connection:
            yield connection
        speaker.join()


def test_an_answer_that_trickles_in_is_given_up() -> None:
    """Each byte comes soon after the last, and the whole never does."""
    with (
        server(b" ", 0.02) as connection,
        pytest.raises(EngineUnavailableError, match="in time"),
    ):
        connection.call("GET", "/status", timeout=0.3)


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs no more memory than the largest answer that makes sense."""
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 1_000_000)
    with (
        server(b" " * 65_536, 0.0) as connection,
        pytest.raises(EngineUnavailableError, match="without end"),
    ):
        connection.call("GET", "/status")


def test_a_refusal_without_end_is_given_up() -> None:
    """Also where a stream was asked for and an error comes."""
    head = HEAD.replace(b"200 OK", b"500 No")
    with (
        server(b" " * 65_536, 0.0, head) as connection,
        pytest.raises(EngineUnavailableError, match="without end"),
        connection.stream("/v1/chat/completions", {}),
    ):
        pass
