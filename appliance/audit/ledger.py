"""What the rest of the appliance sees of the record: it can be added to and read, never changed.

Two things keep this protocol: `log.Log` inside the ledger's process (or a command, while the
stack is down), and `client.LedgerClient` that speaks to it through its Unix socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from appliance.audit import exports
from appliance.audit.chain import ChainHead
from appliance.audit.entry import Agent, Event
from appliance.audit.query import Page, Query

# The last one is the whole record with its tree; the others are entries, one after the other.
FORMATS = (*exports.FORMATS, "tiles")
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

    `first_t` and `last_t` are the times of the first and last entry that are there, or None.
    Entries below `pruned` were let go, as the record states. Those below `anchored` are vouched
    for by a checkpoint that was kept elsewhere, those below `signed` by a checkpoint in the
    record, and the rest by nothing but the chain yet.
    """

    entries: int
    first_t: str | None
    last_t: str | None
    head: ChainHead
    pruned: int = 0
    signed: int = 0
    anchored: int = 0

    def ranges(self) -> list[tuple[str, int, int]]:
        """Return the parts by what vouches for them: name, first entry, and the one after."""
        first, signed = self.pruned, max(self.signed, self.pruned)
        anchored = min(max(self.anchored, first), signed)
        parts = [
            ("let go, tree kept", 0, first),
            ("anchored elsewhere", first, anchored),
            ("signed, not anchored", anchored, signed),
            ("not signed yet", signed, self.entries),
        ]
        return parts if first else parts[1:]

    def facts(self) -> dict[str, int]:
        """Return what the record states of a verification."""
        return {"entries": self.entries, "signed": self.signed, "anchored": self.anchored}


@dataclass(frozen=True, slots=True)
class EpochKey:
    """Who held the keys when: from which entry on (None: from the start) which key signs.

    `opened` is the time of that entry, None for the first key of an empty record.
    """

    number: int
    seq: int | None
    key: str
    opened: str | None


@dataclass(frozen=True, slots=True)
class Anchoring:
    """What the ledger itself knows of its checkpoints elsewhere; its own settings decide.

    `witness` is the key whose signature it believes ('': none), `folders` where it looks for
    checkpoints at each start. `prints` tells whether it hands each one to whoever keeps its output;
    `printed` is the size of the newest one since its start (0: none yet), `printed_at` its time.
    What became of a printed one, the ledger cannot know.
    """

    witness: str = ""
    folders: tuple[str, ...] = ()
    prints: bool = False
    printed: int = 0
    printed_at: str | None = None


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
        """Yield the matching entries, oldest first, in one of FORMATS; `limit` is not used."""
        ...

    def checkpoint(self) -> str:
        """Return a signed note over every entry so far; ConflictError when there is none."""
        ...

    def prove(self, seq: int) -> str:
        """Return a `.tlog-proof` that the entry is in the record; NotFoundError if it is not."""
        ...

    def consistency(self, old_size: int, note: str) -> list[bytes]:
        """Return the proof that the record of `note` begins with its first `old_size` entries."""
        ...

    def keys(self) -> list[EpochKey]:
        """Return every epoch's verifier key, the first one first."""
        ...

    def handover(self, number: int) -> str:
        """Return a `.tlog-proof` of the entry that opens epoch `number`, under the key before."""
        ...

    def anchoring(self) -> Anchoring:
        """Return what the ledger knows of checkpoints elsewhere."""
        ...

    def cosigned(self, witness: str) -> str:
        """Return the newest note of this record that the witness signed and was kept, or ''."""
        ...

    def keep(self, note: str, witness: str) -> None:
        """Keep what a witness signed, to be held against from now on.

        `witness` is its verifier key. Raises VerificationError unless the witness signed it and
        the record contains it, ConflictError when a newer one is kept.
        """
        ...

    def prune(self, before: int, agent: Agent, source: str | None, basis: str) -> int:
        """Let go of all entries below `before`, a multiple of 256; return how many went.

        Their tiles stay, so that proofs for all others still hold, and so do hand-overs.
        """
        ...

    def close(self) -> None:
        """Let go of the record; everything acknowledged is durable already."""
        ...
