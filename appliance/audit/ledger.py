"""What the rest of the appliance sees of the record: it can be added to and read, never changed.

Two things keep this protocol: `log.Log` inside the ledger's process (or a command, while the
stack is down), and `client.LedgerClient` that speaks to it through its Unix socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from appliance.audit.chain import ChainHead
from appliance.audit.entry import Event
from appliance.audit.query import Page, Query

FORMATS = ("ndjson", "csv")
# Between processes: an entry has at most 64 KiB, and JSON may escape a character with six.
MAX_REQUEST_BYTES = 524_288


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of having been recorded: number, 32-byte leaf hash, and time as recorded."""

    seq: int
    leaf: bytes
    t: str


@dataclass(frozen=True, slots=True)
class VerifiedRecord:
    """A record that was walked from its first entry to its head and found whole.

    `first_t` and `last_t` are the times of the first and last entry, None in an empty record.
    """

    entries: int
    first_t: str | None
    last_t: str | None
    head: ChainHead


class Ledger(Protocol):
    """The record, wherever it is. Every method may raise RecordUnavailableError."""

    def append(self, event: Event) -> Receipt:
        """Return once the event is durable; if this raises, do nothing that needs a record.

        Raises DiskFullError when there is no room, BadInputError for what is not an event.
        RecordUnavailableError may mean that the event was written and the answer was lost: the
        call is never repeated by itself, so an event is in the record once or not at all.
        """
        ...

    def search(self, query: Query) -> Page:
        """Return one page of matching entries, newest first."""
        ...

    def verify(self) -> VerifiedRecord:
        """Walk the whole record; raise TamperedError at the first bad entry."""
        ...

    def head(self) -> ChainHead:
        """Return size and last leaf hash, as of the newest durable entry."""
        ...

    def export(self, file_format: str, query: Query) -> Iterator[bytes]:
        """Yield the matching entries, oldest first, as `ndjson` or `csv`; `limit` is not used."""
        ...

    def close(self) -> None:
        """Let go of the record; everything acknowledged is durable already."""
        ...
