"""Connections to the ledger's two sockets: what is sent, what is answered, and what got lost.

One call at a time uses a connection. `LostError` means that no whole answer came: the request may
have been carried out or not, and it is for the caller to know what that means.

Not here: which request is sent again (`client.py`).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.audit.intake import LENGTH, RECEIVE_BYTES
from appliance.audit.ledger import MAX_REQUEST_BYTES, Receipt
from appliance.errors import ApplianceError, RecordUnavailableError, TamperedError, TooLargeError

LONGEST_SOCKET_PATH = 107
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class LostError(RecordUnavailableError):
    """The connection ended before a whole answer came, or could not be made."""


class Adding:
    """A connection to the socket for events: one message, one answer (`intake.py`)."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    def append(self, message: bytes) -> Receipt:
        try:
            self.socket.sendall(LENGTH.pack(len(message)) + message)
            data = self._answer()
        except OSError as error:
            raise _lost(error) from error
        try:
            body = json.loads(data)
            return Receipt(body["seq"], bytes.fromhex(body["leaf"]), body["t"])
        except (ValueError, KeyError, TypeError):
            raise error_of(data) from None

    def close(self) -> None:
        self.socket.close()

    def _answer(self) -> bytes:
        data = b""
        wanted = LENGTH.size
        while len(data) < wanted:
            chunk = self.socket.recv(RECEIVE_BYTES)
            if not chunk:
                raise ConnectionResetError
            data += chunk
            if wanted == LENGTH.size and len(data) >= wanted:
                wanted += LENGTH.unpack_from(data)[0]
                if wanted > MAX_REQUEST_BYTES:
                    raise ConnectionAbortedError  # whatever this is, it is no answer
        return data[LENGTH.size :]


class Connection:
    """HTTP/1.1 over a Unix socket, one request at a time."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self.socket = connected(path, timeout_s)

    def send(self, method: str, path: str, body: bytes) -> http.client.HTTPResponse:
        """Send a request whole and return the answer's head; raise LostError if none comes."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: ledger\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            self.socket.sendall(head.encode() + body)
            response = http.client.HTTPResponse(self.socket, method=method)
            response.begin()
        except (OSError, http.client.HTTPException) as error:
            raise _lost(error) from error
        return response

    def close(self) -> None:
        self.socket.close()


def connected(path: Path, timeout_s: float) -> socket.socket:
    """Return a connection to a Unix socket, however deep its folder lies; raise if none answers."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            connection.connect(str(path))
            return connection
        # A socket's address has 108 bytes; a deep state folder is reached through its descriptor.
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
    except OSError as error:
        connection.close()
        raise RecordUnavailableError(
            f"nothing was recorded: the ledger does not answer ({error})"
        ) from error
    return connection


def exchange(connection: Connection, method: str, path: str, body: bytes) -> Any:
    """Return the JSON of an answer; raise the error that the ledger raised, or LostError."""
    with connection.send(method, path, body) as response:
        raise_refusal(response)
        try:
            return json.loads(response.read())
        except (OSError, http.client.HTTPException) as error:
            raise _lost(error) from error
        except ValueError as error:
            raise LostError("the ledger's answer cannot be understood") from error


def raise_refusal(response: http.client.HTTPResponse) -> None:
    """Return only for an answer of success; else raise the error that it states."""
    if response.status != http.client.OK:
        try:
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise _lost(error) from error
        raise error_of(data)


def stream(connection: Connection, response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the body in chunks, then close; raise when it breaks off: half is not all."""
    with contextlib.closing(connection), response:
        while True:
            try:
                chunk = response.read(65_536)
            except (OSError, http.client.HTTPException) as error:
                raise RecordUnavailableError(
                    "the export broke off; what came so far is incomplete", hint="export again"
                ) from error
            if not chunk:
                return
            yield chunk


def body_of(value: object) -> bytes:
    """Return the body of a request; raise TooLargeError before anything is sent."""
    body = _ENCODER.encode(value).encode()
    if len(body) > MAX_REQUEST_BYTES:
        raise TooLargeError(
            f"nothing was sent: a request may have {MAX_REQUEST_BYTES} bytes, not {len(body)}"
        )
    return body


def is_readable(sock: socket.socket) -> bool:
    """Tell whether something waits to be read, were it only the end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _lost(error: Exception) -> LostError:
    return LostError(
        f"the ledger went away before it answered ({type(error).__name__}); "
        "whether this was recorded is not known"
    )


def error_of(data: bytes) -> ApplianceError:
    """Return the error that the ledger raised; an unknown code becomes RecordUnavailableError."""
    try:
        body = json.loads(data)
        code, message, hint = body["code"], str(body["message"]), str(body["hint"])
        if code == TamperedError.code:
            return TamperedError(body["seq"], str(body["what"]), hint=hint)
    except (ValueError, KeyError, TypeError):
        return LostError("the ledger's answer cannot be understood")
    kind = classes(ApplianceError).get(code, RecordUnavailableError)
    return kind(message, hint=hint)


def classes(base: type[ApplianceError]) -> dict[str, type[ApplianceError]]:
    """Return every error class by its code, save those that need more than message and hint."""
    found = {base.code: base} if "__init__" not in vars(base) or base is ApplianceError else {}
    for kind in base.__subclasses__():
        for code, known in classes(kind).items():  # LostError comes after its parent
            found.setdefault(code, known)
    return found
