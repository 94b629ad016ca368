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
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from appliance.audit.chain import ChainHead
from appliance.audit.connections import (
    Adding,
    Connection,
    LostError,
    body_of,
    connected,
    exchange,
    is_readable,
    raise_refusal,
    stream,
)
from appliance.audit.entry import Agent, Event
from appliance.audit.intake import socket_beside
from appliance.audit.ledger import Anchoring, EpochKey, Receipt, VerifiedRecord
from appliance.audit.query import Page, Query
from appliance.errors import ApplianceError

TIMEOUT_S = 30.0
# Walking ten million entries takes minutes.
VERIFY_TIMEOUT_S = 3_600.0
C = TypeVar("C", Connection, Adding)


class LedgerClient:
    """Speaks to the ledger behind `socket_path`. Any thread may call any method."""

    def __init__(self, socket_path: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self._path = socket_path
        self._timeout_s = timeout_s
        self._idle: deque[Connection] = deque()  # its append and pop are atomic
        self._adding: deque[Adding] = deque()

    def append(self, event: Event) -> Receipt:
        """Return once the event is durable; see `Ledger.append`."""
        message = body_of(event.to_json())
        connection = self._to_add()
        try:
            receipt = connection.append(message)
        except LostError:
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
        with contextlib.closing(Connection(self._path, VERIFY_TIMEOUT_S)) as connection:
            body = exchange(connection, "POST", "/verify", b"{}")
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

    def anchoring(self) -> Anchoring:
        """Return what the ledger knows of checkpoints elsewhere."""
        body = self._call("GET", "/anchoring")
        return Anchoring(**{**body, "folders": tuple(body["folders"])})

    def cosigned(self, witness: str) -> str:
        """Return the newest note that this witness signed, or ''."""
        return str(self._call("POST", "/cosigned", {"witness": witness})["note"])

    def keep(self, note: str, witness: str) -> None:
        """Have the ledger keep what a witness signed."""
        self._call("POST", "/keep", {"note": note, "witness": witness})

    def prune(self, before: int, agent: Agent, source: str | None, basis: str) -> int:
        """Let go of all entries below `before`; return how many went."""
        wish = {"before": before, "agent": vars(agent), "source": source, "basis": basis}
        with contextlib.closing(Connection(self._path, VERIFY_TIMEOUT_S)) as connection:
            return int(exchange(connection, "POST", "/prune", body_of(wish))["removed"])

    def export(self, file_format: str, query: Query) -> Iterator[bytes]:
        """Yield the file in chunks; raise if the connection breaks: half is never taken for all."""
        body = body_of({"format": file_format, "query": query.to_json()})
        connection = Connection(self._path, self._timeout_s)
        try:
            response = connection.send("POST", "/export", body)
            raise_refusal(response)
        except BaseException:
            connection.close()
            raise
        return stream(connection, response)

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

    def _to_add(self) -> Adding:
        return _still_open(self._adding) or Adding(
            connected(socket_beside(self._path), self._timeout_s)
        )

    def _call(self, method: str, path: str, value: object = None) -> Any:
        """Ask, and ask again where a ledger that was restarted closed the connection."""
        body = b"" if value is None else body_of(value)
        connection = _still_open(self._idle)
        if connection is not None:
            with contextlib.suppress(LostError):
                return self._use(connection, method, path, body)
        return self._use(Connection(self._path, self._timeout_s), method, path, body)

    def _use(self, connection: Connection, method: str, path: str, body: bytes) -> Any:
        try:
            answer = exchange(connection, method, path, body)
        except LostError:
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
            if not is_readable(connection.socket):
                return connection
            connection.close()
    return None


def _head(body: dict[str, Any]) -> ChainHead:
    return ChainHead(body["size"], bytes.fromhex(body["leaf"]))
