"""A server that speaks the wire of our model's process and answers at once, whatever is asked.

It listens on Unix sockets and on a TCP port together, in a process of its own, so that a gateway's
own cost can be measured: the same few words come back, streamed or whole, on a connection that
stays open. Some questions get no end, only signs of life until the caller leaves: `hold` its first
word, `line` a place in the queue, `read` nothing else. Once `obliging`, it answers those too.

Run as a module: the digest it answers for, a TCP port (0: none), whether it is obliging (0 or 1),
and sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WORDS = ("The ", "patient ", "may ", "go ", "home ", "today", ".")
USAGE = {"prompt_tokens": 20, "completion_tokens": len(WORDS), "total_tokens": 20 + len(WORDS)}
CONTEXT_TOKENS = 8192
ALIVE_EVERY_S = 0.5
START_WITHIN_S = 20
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


class FakeUpstream:
    """That process, for `digest`, at these sockets and this port."""

    def __init__(self, digest: str, sockets: list[Path], port: int = 0) -> None:
        self._digest, self._port, self._sockets = digest, port, sockets
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, obliging: bool = False) -> FakeUpstream:
        """Start it and wait until it listens."""
        for path in self._sockets:
            path.unlink(missing_ok=True)
        words = [self._digest, str(self._port), str(int(obliging)), *map(str, self._sockets)]
        command = [sys.executable, "-m", "tests.simulators.fake_upstream", *words]
        self.process = subprocess.Popen(command)
        deadline = time.monotonic() + START_WITHIN_S
        while not all(path.exists() for path in self._sockets):
            if time.monotonic() > deadline:
                raise AssertionError("the fake upstream did not start")
            time.sleep(0.01)
        return self

    def kill(self) -> None:
        """End it at once, in the middle of whatever it says."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(START_WITHIN_S)
            self.process = None


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def _chunk(delta: dict[str, str], reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake"}
    return {**frame, "choices": [choice], **more}


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


ROLE = _framed(_event(_chunk({"role": "assistant", "content": ""})))
FIRST = ROLE + _framed(_event(_chunk({"content": WORDS[0]})))
WORKING = _framed(b": working\n\n")
# What opens an answer without an end, and what follows again and again.
ENDLESS = {
    "hold": (FIRST, WORKING),
    "line": (ROLE, _framed(b": queued 3\n\n")),
    "read": (ROLE, WORKING),
}
REST = (
    b"".join(_framed(_event(_chunk({"content": word}))) for word in WORDS[1:])
    + _framed(_event(_chunk({}, "stop", usage=USAGE)))
    + _framed(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


class Talk(asyncio.Protocol):
    """One connection: requests one after the other, each answered as soon as it is whole."""

    digest = ""
    obliging = False

    def __init__(self) -> None:
        self._data = b""
        self._transport: asyncio.WriteTransport | None = None
        self._alive: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._alive is not None:
            self._alive.cancel()

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].decode("latin-1")
            length = 0
            for line in head.split("\r\n")[1:]:
                name, _, value = line.partition(":")
                if name.lower() == "content-length":
                    length = int(value)
            whole = end + 4 + length
            if len(self._data) < whole:
                return
            body, self._data = self._data[end + 4 : whole], self._data[whole:]
            self._answer(head.split(" ", 2)[1], body)

    def _answer(self, path: str, body: bytes) -> None:
        if path == "/status":
            self._whole({
                "state": "ready", "digest": self.digest, "context_tokens": CONTEXT_TOKENS,
                "waiting": 0, "running": 0, "detail": "", "slots": 64, "steps": 0,
            })  # fmt: skip
        elif path == "/tokenize":
            self._whole({"tokens": 20, "context": CONTEXT_TOKENS})
        elif path.endswith("/chat/completions"):
            self._complete(json.loads(body))
        else:
            self._whole({"object": "list", "data": []})

    def _complete(self, asked: dict[str, Any]) -> None:
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "".join(WORDS)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._whole({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "fake",
                "choices": [choice], "usage": USAGE,
            })  # fmt: skip
            return
        endless = ENDLESS.get(asked["messages"][-1]["content"])
        if endless is None or self.obliging:
            self._write(STREAM_HEAD + FIRST)
            # A write of its own: the first word is not to wait for the others.
            self._write(REST)
        else:
            self._write(STREAM_HEAD + endless[0])
            self._repeat(endless[1])

    def _repeat(self, sign: bytes) -> None:
        self._write(sign)
        self._alive = asyncio.get_running_loop().call_later(ALIVE_EVERY_S, self._repeat, sign)

    def _whole(self, value: object) -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._write(head.encode() + b"\r\n\r\n" + body)

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)


async def serve(digest: str, port: int, obliging: bool, sockets: list[str]) -> None:
    """Listen until killed."""
    Talk.digest, Talk.obliging = digest, obliging
    loop = asyncio.get_running_loop()
    if port:
        await loop.create_server(Talk, "127.0.0.1", port)
    for path in sockets:
        # A socket's address has at most 107 bytes; its folder's path may be longer.
        with contextlib.chdir(Path(path).parent):
            await loop.create_unix_server(Talk, Path(path).name)
    await asyncio.Event().wait()


if __name__ == "__main__":
    os.umask(0o077)
    digest, port, obliging, *sockets = sys.argv[1:]
    asyncio.run(serve(digest, int(port), obliging == "1", sockets))
