"""Streams from a server on a Unix socket of our own, without a library's price for each.

Guarantee: what fails is an ApplianceError: EngineDownError when nobody was reached,
EngineUnavailableError when the other side falls silent, breaks off or makes no sense. Leaving the
block closes the connection, and that is what cancels the request over there. Any number of
threads may stream at once; `close` ends them all. HTTP/1.1 as our servers speak it (RFC 9112):
a length, chunks, or all until the end. Not here: what is sent and what it means.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.errors import EngineDownError, EngineUnavailableError

RECEIVE_BYTES = 65_536
MAX_HEAD_BYTES = 65_536
END_OF_HEAD = b"\r\n\r\n"
END_OF_LINE = b"\r\n"
Noted = Callable[[socket.socket], None]


class LocalStreams:
    """Posts to the server at `path`. `silence_s` is how long it may say nothing."""

    def __init__(self, path: Path, connect_s: float, silence_s: float) -> None:
        self._path = str(path)
        self._connect_s, self._silence_s = connect_s, silence_s
        self._open: set[socket.socket] = set()
        self._closed = False
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def post(
        self, target: str, body: bytes, noted: Noted | None = None
    ) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Yield the answer's status and its bytes as they come; `noted` gets the socket."""
        connection = self._connected()
        try:
            if noted is not None:
                noted(connection)
            yield _ask(connection, target, body)
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def close(self) -> None:
        """End all streams; whoever reads from one gets an error, and so does whoever comes."""
        with self._lock:
            self._closed = True
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._connect_s)
            connection.connect(self._path)
            connection.settimeout(self._silence_s)
        except OSError as error:
            connection.close()
            raise EngineDownError("the engine is not running") from error
        with self._lock:
            if not self._closed:
                self._open.add(connection)
                return connection
        connection.close()
        raise EngineDownError("the engine is not running")


def _ask(connection: socket.socket, target: str, body: bytes) -> tuple[int, Iterator[bytes]]:
    head = (
        f"POST {target} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = _Answer(connection)
    answer.send(head.encode() + body)
    return answer.begin()


class _Answer:
    """What came in of one answer and was not taken yet."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._data = b""

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise _broken(error) from error

    def begin(self) -> tuple[int, Iterator[bytes]]:
        """Return the status, and what yields the body."""
        opening, *lines = self._until(END_OF_HEAD).split(b"\r\n")
        fields = {}
        for line in lines:
            name, _, value = line.partition(b":")
            fields[name.strip().lower()] = value.strip().lower()
        try:
            status = int(opening.split(b" ", 2)[1])
            length = int(fields.get(b"content-length", b"-1"))
        except (IndexError, ValueError) as error:
            raise EngineUnavailableError("the engine's answer makes no sense") from error
        if fields.get(b"transfer-encoding") == b"chunked":
            return status, self._chunks()
        return status, self._rest(length)

    def _chunks(self) -> Iterator[bytes]:
        """Yield what the chunks hold; those that came together stay together."""
        here = b""
        while True:
            if here and not self._has_chunk():
                yield here
                here = b""
            wanted = _size(self._until(END_OF_LINE))
            if wanted < 0:
                raise EngineUnavailableError("the engine's answer makes no sense")
            if wanted == 0:
                break
            while len(self._data) < wanted + 2:
                self._more()
            here += self._data[:wanted]
            self._data = self._data[wanted + 2 :]
        if here:
            yield here

    def _has_chunk(self) -> bool:
        """Tell whether another chunk is here already, all of it."""
        opening, found, rest = self._data.partition(END_OF_LINE)
        return bool(found) and 0 <= _size(opening) <= len(rest) - 2

    def _rest(self, length: int) -> Iterator[bytes]:
        """Yield `length` bytes; less than none stand for all until the end."""
        while length != 0:
            if self._data:
                length -= len(self._data)
                yield self._data
                self._data = b""
            elif length < 0 and not self._received():
                return
            elif length > 0:
                self._more()

    def _until(self, mark: bytes) -> bytes:
        while (place := self._data.find(mark)) < 0:
            if len(self._data) > MAX_HEAD_BYTES:
                raise EngineUnavailableError("the engine's answer makes no sense")
            self._more()
        found, self._data = self._data[:place], self._data[place + len(mark) :]
        return found

    def _more(self) -> None:
        if not self._received():
            raise EngineUnavailableError(BROKEN)

    def _received(self) -> bool:
        """Wait for more; return False at the end."""
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            raise _broken(error) from error
        self._data += data
        return bool(data)


def _size(opening: bytes) -> int:
    """Return how many bytes a chunk has, less than none for what cannot be."""
    try:
        return int(opening.partition(b";")[0], 16)
    except ValueError:
        return -1


BROKEN = "the connection to the engine broke; the answer is not complete"


def _broken(error: OSError) -> EngineUnavailableError:
    if isinstance(error, TimeoutError):
        return EngineUnavailableError("the engine does not answer in time")
    return EngineUnavailableError(BROKEN)
