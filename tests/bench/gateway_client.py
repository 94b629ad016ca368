"""The bare client of `gateway.py`: HTTP/1.1 over a kept connection, and nothing more.

What it costs is the same for everyone it asks. It follows `Content-Length`, and finds the end of
a stream at `data: [DONE]` and the last chunk.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import dataclass

PATH = "/v1/chat/completions"
TIMEOUT_S = 60.0
RECEIVE = 65_536


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, and with which key."""

    host: str
    port: int
    key: str


class Caller:
    """One caller, one connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._socket = socket.create_connection((endpoint.host, endpoint.port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""

    def close(self) -> None:
        self._socket.close()

    def whole(self, text: str) -> bytes:
        """Return the body of a whole answer."""
        self._send(text, stream=False)
        head = self._until(b"\r\n\r\n")
        if b" 200 " not in head[:16]:
            raise ValueError(head[:200])
        lower = head.lower()
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        while len(self._data) < length:
            self._more()
        body, self._data = self._data[:length], self._data[length:]
        return body

    def first_word(self, text: str) -> float:
        """Return the seconds from the question to the first word; the rest is read as well."""
        began = time.perf_counter()
        self.begin_stream(text)
        self.await_word()
        took = time.perf_counter() - began
        self._until(b"data: [DONE]")
        self._until(b"\r\n0\r\n\r\n")
        return took

    def begin_stream(self, text: str) -> None:
        self._send(text, stream=True)
        head = self._until(b"\r\n\r\n")
        if b" 200 " not in head[:16]:
            raise ValueError(head[:200])

    def await_word(self) -> None:
        """Return when a word has come; servers space their JSON in two ways."""
        while b'"content":"The ' not in self._data and b'"content": "The ' not in self._data:
            self._more()

    def _send(self, text: str, *, stream: bool) -> None:
        body = json.dumps(
            {"model": "demo", "messages": [{"role": "user", "content": text}], "stream": stream}
        ).encode()
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {self._endpoint.host}:{self._endpoint.port}\r\n"
            f"Authorization: Bearer {self._endpoint.key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body)

    def _until(self, mark: bytes) -> bytes:
        while (place := self._data.find(mark)) < 0:
            self._more()
        found, self._data = self._data[: place + len(mark)], self._data[place + len(mark) :]
        return found

    def _more(self) -> None:
        data = self._socket.recv(RECEIVE)
        if not data:
            raise ConnectionResetError("the server ended the connection")
        self._data += data


def whole_answers(endpoints: list[Endpoint], seconds: float) -> float:
    """Return how many whole answers a second these callers get together."""
    counts = [0] * len(endpoints)
    start = threading.Barrier(len(endpoints) + 1)

    def ask(place: int) -> None:
        with contextlib.closing(Caller(endpoints[place])) as caller:
            start.wait()
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                caller.whole("May the patient go home?")
                counts[place] += 1

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(endpoints))]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def first_words(endpoints: list[Endpoint], questions: int) -> list[float]:
    """Return the seconds to the first word of so many questions, asked by these callers at once."""
    waits: list[float] = []

    def ask(endpoint: Endpoint) -> None:
        with contextlib.closing(Caller(endpoint)) as caller:
            caller.first_word("hello")
            found = [caller.first_word("May she?") for _ in range(questions // len(endpoints))]
        waits.extend(found)

    threads = [threading.Thread(target=ask, args=(endpoint,)) for endpoint in endpoints]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waits
