"""The record through the ledger's Unix socket, for processes that are not the ledger.

An event is in the record at most once: a request is sent again only if it reads, or if not one
byte of it was sent. When the answer to an append is lost (the ledger was killed between commit
and answer), the caller gets RecordUnavailableError and must not go on; the event may then be in
the record, which states an intent that nothing followed. A key to make repeating safe was left
out on purpose: it would have to survive the ledger's death, so it would have to be in the entry.

Connections stay open and are lent to one call at a time. Request and body leave in one piece.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import socket
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.audit.chain import ChainHead
from appliance.audit.entry import Event
from appliance.audit.ledger import MAX_REQUEST_BYTES, Receipt, VerifiedRecord
from appliance.audit.query import Page, Query
from appliance.errors import ApplianceError, RecordUnavailableError, TamperedError, TooLargeError

TIMEOUT_S = 30.0
# Walking ten million entries takes minutes.
VERIFY_TIMEOUT_S = 3_600.0
LONGEST_SOCKET_PATH = 107
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class LedgerClient:
    """Speaks to the ledger behind `socket_path`. Any thread may call any method."""

    def __init__(self, socket_path: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self._path = socket_path
        self._timeout_s = timeout_s
        self._idle: deque[_Connection] = deque()  # its append and pop are atomic

    def append(self, event: Event) -> Receipt:
        """Return once the event is durable; see `Ledger.append`."""
        body = self._call("POST", "/events", event.to_json(), repeatable=False)
        return Receipt(body["seq"], bytes.fromhex(body["leaf"]), body["t"])

    def search(self, query: Query) -> Page:
        """Return one page of matching entries, newest first."""
        body = self._call("POST", "/search", query.to_json())
        return Page(tuple(body["entries"]), body["next_before"])

    def verify(self) -> VerifiedRecord:
        """Walk the whole record in the ledger; raise TamperedError at the first bad entry."""
        with contextlib.closing(_Connection(self._path, VERIFY_TIMEOUT_S)) as connection:
            body = _exchange(connection, "POST", "/verify", b"{}")
        return VerifiedRecord(body["entries"], body["first_t"], body["last_t"], _head(body["head"]))

    def head(self) -> ChainHead:
        """Return the head as of the newest durable entry."""
        return _head(self._call("GET", "/head"))

    def export(self, file_format: str, query: Query) -> Iterator[bytes]:
        """Yield the file in chunks; raise if the connection breaks: half is never taken for all."""
        body = _body({"format": file_format, "query": query.to_json()})
        connection = _Connection(self._path, self._timeout_s)
        try:
            response = connection.send("POST", "/export", body)
            _raise_refusal(response)
        except BaseException:
            connection.close()
            raise
        return _stream(connection, response)

    def answers(self) -> bool:
        """Tell whether a ledger is there and well."""
        try:
            self._call("GET", "/healthz")
        except ApplianceError:
            return False
        return True

    def close(self) -> None:
        """Close all connections; a later call opens a new one."""
        while self._idle:
            self._idle.pop().close()

    def _call(
        self, method: str, path: str, value: object = None, *, repeatable: bool = True
    ) -> Any:
        body = b"" if value is None else _body(value)
        connection = self._take()
        if connection is not None:
            try:
                return self._use(connection, method, path, body)
            except _LostError:
                if not repeatable:
                    raise
        return self._use(_Connection(self._path, self._timeout_s), method, path, body)

    def _use(self, connection: _Connection, method: str, path: str, body: bytes) -> Any:
        try:
            answer = _exchange(connection, method, path, body)
        except _LostError:
            connection.close()
            raise
        except ApplianceError:
            self._idle.append(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return answer

    def _take(self) -> _Connection | None:
        """Return an open connection, if there is one that the ledger has not closed."""
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread took the last one
                connection = self._idle.pop()
                # Between two requests the ledger says nothing, so anything to read is the end;
                # seen before sending, it costs a reconnect and not an event in doubt.
                if not _is_readable(connection.socket):
                    return connection
                connection.close()
        return None


class _LostError(RecordUnavailableError):
    """The connection ended before a whole answer came, or could not be made."""


class _Connection:
    """HTTP/1.1 over a Unix socket, one request at a time."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        try:
            self._connect(path)
        except OSError as error:
            self.close()
            raise RecordUnavailableError(
                f"nothing was recorded: the ledger does not answer ({error})"
            ) from error

    def send(self, method: str, path: str, body: bytes) -> http.client.HTTPResponse:
        """Send a request whole and return the answer's head; raise _LostError if none comes."""
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

    def _connect(self, path: Path) -> None:
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            self.socket.connect(str(path))
            return
        # A socket's address has 108 bytes; a deep state folder is reached through its descriptor.
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.socket.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)


def _exchange(connection: _Connection, method: str, path: str, body: bytes) -> Any:
    with connection.send(method, path, body) as response:
        _raise_refusal(response)
        try:
            return json.loads(response.read())
        except (OSError, http.client.HTTPException) as error:
            raise _lost(error) from error
        except ValueError as error:
            raise _LostError("the ledger's answer cannot be understood") from error


def _raise_refusal(response: http.client.HTTPResponse) -> None:
    if response.status != http.client.OK:
        try:
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise _lost(error) from error
        raise _error(data)


def _stream(connection: _Connection, response: http.client.HTTPResponse) -> Iterator[bytes]:
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


def _body(value: object) -> bytes:
    body = _ENCODER.encode(value).encode()
    if len(body) > MAX_REQUEST_BYTES:
        raise TooLargeError(
            f"nothing was sent: a request may have {MAX_REQUEST_BYTES} bytes, not {len(body)}"
        )
    return body


def _is_readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _head(body: dict[str, Any]) -> ChainHead:
    return ChainHead(body["size"], bytes.fromhex(body["leaf"]))


def _lost(error: Exception) -> _LostError:
    return _LostError(
        f"the ledger went away before it answered ({type(error).__name__}); "
        "whether this was recorded is not known"
    )


def _error(data: bytes) -> ApplianceError:
    """Return the error that the ledger raised; an unknown code becomes RecordUnavailableError."""
    try:
        body = json.loads(data)
        code, message, hint = body["code"], str(body["message"]), str(body["hint"])
        if code == TamperedError.code:
            return TamperedError(body["seq"], str(body["what"]), hint=hint)
    except (ValueError, KeyError, TypeError):
        return _LostError("the ledger's answer cannot be understood")
    kind = _classes(ApplianceError).get(code, RecordUnavailableError)
    return kind(message, hint=hint)


def _classes(base: type[ApplianceError]) -> dict[str, type[ApplianceError]]:
    """Return every error class by its code, save those that need more than message and hint."""
    found = {base.code: base} if "__init__" not in vars(base) or base is ApplianceError else {}
    for kind in base.__subclasses__():
        for code, known in _classes(kind).items():  # _LostError comes after its parent
            found.setdefault(code, known)
    return found
