"""Many streams at once from one thread, as cheap as can be; figures are worked out afterwards.

While the servers compute, this only waits, reads and notes when: the bytes are taken apart when
all streams have ended, so that reading them takes no time from two cores that are being measured.
A time is given in seconds of `time.perf_counter`. Not here: what is asked, and of whom.
"""

from __future__ import annotations

import json
import math
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE_S = 600.0
READ_BYTES = 65_536
Address = tuple[str, int] | Path


@dataclass(frozen=True)
class Request:
    """One HTTP request: its path and its body."""

    path: str
    body: dict[str, Any]

    def wire(self) -> bytes:
        """Return it as bytes; the server is to close the connection after its answer."""
        body = json.dumps(self.body).encode()
        lines = (
            f"POST {self.path} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(eq=False)
class Stream:
    """One request on its way: when it was sent and ended, and each read with the time it came."""

    connection: socket.socket
    sent: float = 0.0
    reads: list[tuple[float, bytes]] = field(default_factory=list)
    ended: float | None = None


@dataclass(frozen=True)
class Answered:
    """What came of one request: the times of its pieces of text, and the server's own counts.

    `ended` is endless for one that had not ended when nobody listened any more.
    """

    sent: float
    pieces: tuple[float, ...]
    prompt_tokens: int
    answer_tokens: int
    ended: float = math.inf

    @property
    def first_s(self) -> float:
        return self.pieces[0] - self.sent

    @property
    def tokens(self) -> int:
        """How long the answer was; servers that do not count write a token a piece."""
        return self.answer_tokens or len(self.pieces)


class Load:
    """Streams to one server. `close` ends those that still run."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        self.streams: list[Stream] = []

    def send(self, requests: Sequence[Request]) -> list[Stream]:
        """Send requests one right after the other, each on its own connection."""
        wires = [request.wire() for request in requests]
        opened = [Stream(_connect(self._address)) for _ in wires]
        for stream, wire in zip(opened, wires, strict=True):
            stream.sent = time.perf_counter()
            stream.connection.sendall(wire)
            self._selector.register(stream.connection, selectors.EVENT_READ, stream)
        self.streams += opened
        return opened

    def read_until(self, done: Callable[[], bool]) -> None:
        """Read what comes until `done`, asked after each read, or until all streams ended."""
        deadline = time.monotonic() + PATIENCE_S
        while self._selector.get_map() and not done():
            if time.monotonic() > deadline:
                raise AssertionError(f"streams were still open after {PATIENCE_S:.0f} s")
            for key, _ in self._selector.select(timeout=1):
                self._read(key.data)

    def read_all(self) -> None:
        """Read until every stream has ended."""
        self.read_until(lambda: False)

    def close(self) -> None:
        for stream in self.streams:
            stream.connection.close()
        self._selector.close()

    def _read(self, stream: Stream) -> None:
        data = stream.connection.recv(READ_BYTES)
        now = time.perf_counter()
        if data:
            stream.reads.append((now, data))
        else:
            stream.ended = now
            self._selector.unregister(stream.connection)
            # At once: some servers wait for it, and serve nobody meanwhile.
            stream.connection.close()


def ask_all(address: Address, requests: Sequence[Request]) -> list[Answered]:
    """Send all requests at once and return what came of each, when all have ended."""
    load = Load(address)
    try:
        streams = load.send(requests)
        load.read_all()
    finally:
        load.close()
    return [answered(stream) for stream in streams]


def answered(stream: Stream) -> Answered:
    """Take apart what came: events of OpenAI's shape, or lines of Ollama's."""
    pieces: list[float] = []
    prompt = answer = 0
    for when, event in events(stream.reads):
        if "error" in event:
            raise AssertionError(f"the server refused: {event['error']}")
        if _text_of(event):
            pieces.append(when)
        usage = event.get("usage") or {}
        prompt = usage.get("prompt_tokens") or event.get("prompt_eval_count") or prompt
        answer = usage.get("completion_tokens") or event.get("eval_count") or answer
    ended = math.inf if stream.ended is None else stream.ended
    return Answered(stream.sent, tuple(pieces), prompt, answer, ended)


def events(reads: Sequence[tuple[float, bytes]]) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield each JSON object that came, with the time of the read that completed its line."""
    head, line = b"", b""
    in_body = False
    for when, data in reads:
        if not in_body:
            head += data
            top, found, data = head.partition(b"\r\n\r\n")
            if not found:
                continue
            in_body = True
            if not top.startswith(b"HTTP/1.1 200"):
                raise AssertionError(f"the server answered: {head.decode(errors='replace')}")
        *whole, line = (line + data).split(b"\n")
        for text in whole:
            # Lines with the size of a chunk, comments and empty lines hold no object.
            start = text.find(b"{")
            if start in (0, 6) and text[:start] in (b"", b"data: "):
                yield when, json.loads(text[start:])


def _text_of(event: dict[str, Any]) -> str:
    if "message" in event:  # Ollama's
        return event["message"].get("content") or ""
    return "".join(
        choice.get("delta", {}).get("content") or "" for choice in event.get("choices") or ()
    )


def _connect(address: Address) -> socket.socket:
    if isinstance(address, Path):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(address))
        return connection
    connection = socket.create_connection(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
