"""Where events come in: one thread, one Unix socket, whatever is ready shares a commit.

Every answer waits for its event twice, so this path has no HTTP, no framework, and no thread per
caller. A message is four bytes of length (big-endian) and that much JSON. The caller sends an
event; the answer is `{"seq", "leaf", "t"}`, or `{"code", "message", "hint"}`. One message is
under way per connection. Anything else ends that connection, and no other.

Who may speak to it is decided by the socket's mode and folder (its owner's, or a group's). Reading,
proving and everything else goes through the other socket (`service.py`).
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance.audit.entry import Event
from appliance.audit.ledger import MAX_REQUEST_BYTES, Receipt
from appliance.audit.log import Log
from appliance.errors import ApplianceError, BadInputError, TamperedError, TooLargeError, fault_of

LENGTH = struct.Struct(">I")
MAX_WAITING = 512
BEGINNING = "appliance.init"
RECEIVE_BYTES = 65_536
PAUSE_S = 0.05


def socket_beside(path: Path) -> Path:
    """Return the socket for events that belongs to the ledger's socket `path`."""
    return path.with_suffix(".add")


def stated(error: ApplianceError) -> dict[str, Any]:
    """Return an error as it crosses a socket; the client turns it back."""
    body: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.hint}
    if isinstance(error, TamperedError):
        body |= {"seq": error.seq, "what": error.what}
    return body


class _Caller:
    """One connection: what came in so far of its next message."""

    __slots__ = ("data", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.data = bytearray()

    def message(self) -> bytes | None:
        """Return the message once it is whole; raise BadInputError for one that never will be."""
        if len(self.data) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self.data)
        if length > MAX_REQUEST_BYTES:
            raise TooLargeError(f"a request may have {MAX_REQUEST_BYTES} bytes, not {length}")
        if len(self.data) < LENGTH.size + length:
            return None
        if len(self.data) > LENGTH.size + length:
            raise BadInputError("a second message came before the first one was answered")
        message = bytes(self.data[LENGTH.size : LENGTH.size + length])
        del self.data[: LENGTH.size + length]
        return message


class Intake:
    """Listens on `path` until `close`; made in the process that serves, after any fork."""

    def __init__(self, log: Log, path: Path, mode: int = 0o600) -> None:
        """Take the place of a socket that a killed ledger left; the log's lock is held already."""
        self._log = log
        self._path = path
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(mode)
        self._listener.listen(MAX_WAITING)
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="intake", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer what is under way, then stop listening."""
        self._wake.send(b"\x00")
        self._thread.join()
        self._path.unlink(missing_ok=True)
        for key in list(self._selector.get_map().values()):
            with contextlib.suppress(OSError):
                key.fileobj.close()  # type: ignore[union-attr]  # sockets only
        self._selector.close()
        self._wake.close()

    def _serve(self) -> None:
        ending = False
        while not ending:
            asking: list[tuple[_Caller, Event]] = []
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    ending = True
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    self._take(key.data, asking)
            if asking:
                results = self._recorded([event for _, event in asking])
                for (caller, _), result in zip(asking, results, strict=True):
                    self._answer(caller, result)

    def _recorded(self, events: list[Event]) -> Sequence[Receipt | ApplianceError]:
        try:
            return self._log.append_many(events)
        except ApplianceError as error:  # the record is closed: every caller is told
            return [error for _ in events]

    def _accept(self) -> None:
        """Take in all who wait, so that their events come together."""
        try:
            while True:
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                self._selector.register(connection, selectors.EVENT_READ, _Caller(connection))
        except BlockingIOError:
            return
        except OSError:
            # Out of descriptors, say: they stay in line, and asking again at once would only spin.
            time.sleep(PAUSE_S)

    def _take(self, caller: _Caller, asking: list[tuple[_Caller, Event]]) -> None:
        """Read what is there; add the caller's event once it is whole, or refuse it."""
        try:
            data = caller.socket.recv(RECEIVE_BYTES)
            caller.data += data
            message = caller.message() if data else None
        except BlockingIOError:
            return
        except (OSError, BadInputError) as error:
            if isinstance(error, BadInputError):
                self._answer(caller, error)
            self._drop(caller)
            return
        if not data:
            self._drop(caller)
        elif message is not None:
            try:
                asking.append((caller, _event(message)))
            except ApplianceError as error:
                self._answer(caller, error)

    def _answer(self, caller: _Caller, result: Receipt | ApplianceError) -> None:
        if isinstance(result, Receipt):
            text = f'{{"seq":{result.seq},"leaf":"{result.leaf.hex()}","t":"{result.t}"}}'
            body = text.encode()
        else:
            body = json.dumps(stated(result)).encode()
        try:
            # A few hundred bytes always fit into the socket of a caller who waits for them.
            caller.socket.sendall(LENGTH.pack(len(body)) + body)
        except OSError:
            self._drop(caller)

    def _drop(self, caller: _Caller) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(caller.socket)
        caller.socket.close()


def _event(message: bytes) -> Event:
    try:
        value = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"not JSON ({fault_of(error)})") from error
    if not isinstance(value, dict):
        raise BadInputError("not a JSON object")
    event = Event.from_json(value)
    if event.action == BEGINNING:
        # It states the record's first key: a second one would make every verifier call it forged.
        raise BadInputError(f"{BEGINNING} is recorded once, before the ledger listens")
    return event
