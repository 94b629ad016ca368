"""The record through the ledger's Unix socket, for processes that are not the ledger.

An event is in the record at most once: a request is sent again only if it reads, or if not one
byte of it was sent. When the answer to an append is lost (the ledger was killed between commit
and answer), the caller gets RecordUnavailableError and must not go on; the event may then be in
the record, which states an intent that nothing followed. A key to make repeating safe was left
out on purpose: it would have to survive the ledger's death, so it would have to be in the entry.

Events go to a socket of their own (`intake.py`), everything else is HTTP (`service.py`).
Connections stay open and are lent to one call at a time.
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
from typing import Any, TypeVar

from appliance.audit.chain import ChainHead
from appliance.audit.entry import Agent, Event
from appliance.audit.intake import LENGTH, RECEIVE_BYTES, socket_beside
from appliance.audit.ledger import MAX_REQUEST_BYTES, EpochKey, Receipt, VerifiedRecord
from appliance.audit.query import Page, Query
from appliance.errors import ApplianceError, RecordUnavailableError, TamperedError, TooLargeError

TIMEOUT_S = 30.0
# Walking ten million entries takes minutes.
VERIFY_TIMEOUT_S = 3_600.0
LONGEST_SOCKET_PATH = 107
_ENCODER = json.JSONEncoder(separators=(",", ":"))
C = TypeVar("C", "_Connection", "_Adding")


class LedgerClient:
    """Speaks to the ledger behind `socket_path`. Any thread may call any method."""

    def __init__(self, socket_path: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self._path = socket_path
        self._timeout_s = timeout_s
        self._idle: deque[_Connection] = deque()  # its append and pop are atomic
        self._adding: deque[_Adding] = deque()

    def append(self, event: Event) -> Receipt:
        """Return once the event is durable; see `Ledger.append`."""
        message = _body(event.to_json())
        connection = self._to_add()
        try:
            receipt = connection.append(message)
        except _LostError:
            connection.close()
            raise
        except ApplianceError:
            self._adding.append(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._adding.append(connection)
        return receipt

    def search(self, query: Query) -> Page:
        """Return one page of matching entries, newest first."""
        body = self._call("POST", "/search", query.to_json())
        return Page(tuple(body["entries"]), body["next_before"])

    def verify(self) -> VerifiedRecord:
        """Walk the whole record in the ledger; raise TamperedError at the first bad entry."""
        with contextlib.closing(_Connection(self._path, VERIFY_TIMEOUT_S)) as connection:
            body = _exchange(connection, "POST", "/verify", b"{}")
        return VerifiedRecord(**{**body, "head": _head(body["head"])})

    def head(self) -> ChainHead:
        """Return the head as of the newest durable entry."""
        return _head(self._call("GET", "/head"))

    def checkpoint(self) -> str:
        """Return a signed note over every entry so far."""
        return str(self._call("POST", "/checkpoint")["note"])

    def prove(self, seq: int) -> str:
        """Return a `.tlog-proof` of one entry."""
        return str(self._call("POST", "/prove", {"seq": seq})["proof"])

    def handover(self, number: int) -> str:
        """Return a `.tlog-proof` of the entry that opens an epoch."""
        return str(self._call("POST", "/handover", {"number": number})["proof"])

    def consistency(self, old_size: int, note: str) -> list[bytes]:
        """Return the proof between two sizes."""
        body = self._call("POST", "/consistency", {"old_size": old_size, "note": note})
        return [bytes.fromhex(item) for item in body["proof"]]

    def keys(self) -> list[EpochKey]:
        """Return every epoch's verifier key, the first one first."""
        return [EpochKey(**key) for key in self._call("GET", "/keys")["keys"]]

    def prune(self, before: int, agent: Agent, source: str | None, basis: str) -> int:
        """Let go of all entries below `before`; return how many went."""
        wish = {"before": before, "agent": vars(agent), "source": source, "basis": basis}
        with contextlib.closing(_Connection(self._path, VERIFY_TIMEOUT_S)) as connection:
            return int(_exchange(connection, "POST", "/prune", _body(wish))["removed"])

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
        """Tell whether a ledger is there and well, for reading and for adding."""
        try:
            self._call("GET", "/healthz")
            self._adding.append(self._to_add())
        except ApplianceError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Close all connections; a later call opens a new one."""
        while self._idle:
            self._idle.pop().close()
        while self._adding:
            self._adding.pop().close()

    def _to_add(self) -> _Adding:
        return _still_open(self._adding) or _Adding(
            _connected(socket_beside(self._path), self._timeout_s)
        )

    def _call(self, method: str, path: str, value: object = None) -> Any:
        """Ask, and ask again where a ledger that was restarted closed the connection."""
        body = b"" if value is None else _body(value)
        connection = _still_open(self._idle)
        if connection is not None:
            with contextlib.suppress(_LostError):
                return self._use(connection, method, path, body)
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


def _still_open(idle: deque[C]) -> C | None:
    """Take a connection out of `idle`, if there is one that the ledger has not closed."""
    while idle:
        with contextlib.suppress(IndexError):  # another thread took the last one
            connection = idle.pop()
            # Between two requests the ledger says nothing, so anything to read is the end;
            # seen before sending, it costs a reconnect and not an event in doubt.
            if not _is_readable(connection.socket):
                return connection
            connection.close()
    return None


class _LostError(RecordUnavailableError):
    """The connection ended before a whole answer came, or could not be made."""


class _Adding:
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
            raise _error(data) from None

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


class _Connection:
    """HTTP/1.1 over a Unix socket, one request at a time."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self.socket = _connected(path, timeout_s)

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


def _connected(path: Path, timeout_s: float) -> socket.socket:
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
