"""The one writer: an event that `append` returned for is durable, chained, and in order.

Callers take turns at writing, and whoever writes does so for all who wait (`writing.py`).

At start the keys, the newest checkpoint and everything after it are verified; anything else than
a whole record is refused, with advice. A missing file is refused too: only `Log.create` makes
one. A lock beside the file keeps a second ledger out; SQLite's own lock would let two take turns.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from appliance import durable
from appliance.audit import creation, exports, merkle, store, verify
from appliance.audit.actions import Outcome
from appliance.audit.anchors import Places
from appliance.audit.chain import ChainHead, Stored
from appliance.audit.checkpoint import SignedCheckpoint, VerifierKey
from appliance.audit.cosigned_folder import CosignedFolder, contained
from appliance.audit.entry import Agent, Event
from appliance.audit.exports import tiles
from appliance.audit.index import Index
from appliance.audit.keys import KeyFolder, folder_of
from appliance.audit.ledger import Anchoring, EpochKey, Receipt, VerifiedRecord
from appliance.audit.merkle import leaf_hash
from appliance.audit.notary import Notary
from appliance.audit.proof import TlogProof
from appliance.audit.query import Page, Query
from appliance.audit.recorder import NEARLY_NOTHING, Recorder
from appliance.audit.reserve import Reserve
from appliance.audit.tree import WIDTH, Tree
from appliance.audit.writing import Writing
from appliance.clock import Clock
from appliance.config import Ledger as Settings
from appliance.errors import (
    ApplianceError,
    BadInputError,
    ConflictError,
    NotFoundError,
    NotInitialisedError,
    RecordUnavailableError,
    TamperedError,
)

T = TypeVar("T")
# In pieces this large the index costs the least; what it lacks, a search reads from the record.
INDEX_EVERY_S = 10.0
OWN_ACTIONS = frozenset({"record.epoch", "record.prune", "disk.full"})
HINT_START = (
    "the record was not opened and nothing was changed; keep a copy of the file, call the person "
    "in charge of security, then restore the newest backup that verifies"
)

HINT_INDEX = (
    "the record itself is whole; someone changed or damaged the index beside it, which was thrown "
    "away and is being made anew: search again, and tell the person in charge of security"
)


class Log:
    """The record, opened for writing by this process alone. Any thread may call any method."""

    def __init__(self, path: Path, clock: Clock, boot_id: str, settings: Settings) -> None:
        """Verify the record and start writing; `boot_id` names this boot of the machine.

        Raises NotInitialisedError when the file is missing, ConflictError when another process
        has it open, TamperedError when it is not whole.
        """
        if not path.exists():
            raise NotInitialisedError(f"the record {path} is missing; none was made in its place")
        self.path = path
        self._file = _identity(path)
        self._readers = store.Readers(path)
        with contextlib.ExitStack() as stack:
            lock = path.with_name(path.name + ".lock")
            stack.enter_context(durable.exclusive(lock, f"the record {path}"))
            stack.callback(self._readers.close)
            self._places = Places.of(path, settings)
            self._cosigned = CosignedFolder(self._places.beside, self._places.witness)
            self._anchoring = Anchoring(settings.witness_key, settings.anchor_folders)
            self._recorder = self._open(clock, boot_id, settings.reserve_bytes)
            stack.callback(self._recorder.close)
            self._index = Index(path.with_suffix(".index.db"), path)
            stack.callback(self._index.close)
            # Readers go first: the last to close removes the side log, and only a writer may.
            stack.callback(self._readers.close)
            self._held = stack.pop_all()
        self._writing = Writing(self._recorder, self._check_still_there, settings.max_group)
        # A crash may have come between what the record let go and what the index forgets. What
        # cannot be forgotten now does not hinder: the next start tries again.
        with contextlib.suppress(ApplianceError, OSError):
            self._index.forget_below(self._recorder.head.pruned)
        self._index.follow(lambda: self.head().size, INDEX_EVERY_S)

    @classmethod
    def create(cls, path: Path, log_id: str, reserve_bytes: int) -> None:
        """Make an empty record (0600) and its reserve; raise ConflictError when there is one."""
        if path.exists():
            raise ConflictError(f"{path} exists already", hint="it was left as it is")
        Reserve(_reserve_path(path), reserve_bytes).take()
        keys = KeyFolder(folder_of(path), log_id)
        keys.create()
        creation.create(path, log_id, str(keys.make(0).key))

    def append(self, event: Event) -> Receipt:
        """Return once the event is durable; see `Ledger.append`."""
        [result] = self.append_many([event])
        if isinstance(result, Receipt):
            return result
        raise result

    def append_many(self, events: Sequence[Event]) -> list[Receipt | ApplianceError]:
        """Return for each event its receipt once it is durable, or the error that stopped it.

        What only the ledger itself may state is refused.
        """
        if any(_is_own(event) for event in events):
            return [self._alone(event) for event in events]
        return self._writing.append(events)

    def _alone(self, event: Event) -> Receipt | ApplianceError:
        if _is_own(event):
            return BadInputError(f"only the ledger itself records {event.action}")
        return self.append_many([event])[0]

    def checkpoint(self) -> str:
        """Return a signed note over every entry so far; see `Ledger.checkpoint`."""
        return self._writing.run(lambda recorder: recorder.checkpoint())

    def prune(self, before: int, agent: Agent, source: str | None, basis: str) -> int:
        """Let go of all entries below `before`; see `Ledger.prune`."""
        with self._readers.one() as connection:
            head = store.read_head(connection)
            if before % WIDTH or not head.pruned < before <= head.size:
                raise BadInputError(
                    f"entries cannot be let go below {before}",
                    hint=f"name a multiple of {WIDTH} above {head.pruned} and up to {head.size}",
                )
            root = Tree(connection).root(before).hex()
        content = {"before": before, "root": root, "basis": basis}
        event = Event("record.prune", Outcome.SUCCESS, agent, source=source, content=content)
        self._writing.run(lambda recorder: recorder.state_pruning(event))
        removed = 0
        # Piece by piece: whoever wants to append does not wait for all of them.
        while count := self._writing.run(lambda recorder: recorder.sweep(before)):
            removed += count
        self._index.forget_below(before)
        return removed

    def prove(self, seq: int) -> str:
        """Return a `.tlog-proof` of one entry; see `Ledger.prove`."""
        return self._proof(seq, self.checkpoint())

    def time_of(self, seq: int) -> str | None:
        """Return when an entry was written (RFC 3339), None where it is not there any more."""
        with self._readers.one() as connection:
            return _time_of(connection, seq)

    def handover(self, number: int) -> str:
        """Return a `.tlog-proof` of an epoch's first entry; see `Ledger.handover`."""
        known = self._recorder.epochs.all
        if not 0 < number < len(known):
            raise NotFoundError(f"no entry hands over to epoch {number}")
        epoch = known[number]
        with self._readers.one() as connection:
            note = store.read_checkpoint(connection, epoch.closing)
        return self._proof(epoch.closing - 1, note or "")

    def consistency(self, old_size: int, note: str) -> list[bytes]:
        """Return the proof between two sizes; see `Ledger.consistency`."""
        size = self._recorder.epochs.check(note).checkpoint.size
        if size > self.head().size:
            raise BadInputError(f"the record has no {size} entries")
        with self._readers.one() as connection:
            return merkle.consistency_proof(old_size, size, Tree(connection).subtree)

    def keys(self) -> list[EpochKey]:
        """Return every epoch's verifier key, the first one first."""
        with self._readers.one() as connection:
            return [
                EpochKey(epoch.number, epoch.seq, epoch.key, _time_of(connection, epoch.seq or 0))
                for epoch in self._recorder.epochs.all
            ]

    def anchoring(self) -> Anchoring:
        """Return what is known of checkpoints elsewhere; see `Ledger.anchoring`."""
        return self._anchoring

    def note_printed(self, size: int, moment: str | None) -> None:
        """Take note that a checkpoint of `size` was printed; 0 and None: it will be."""
        known = self._anchoring
        self._anchoring = replace(known, prints=True, printed=size, printed_at=moment)

    def cosigned(self, witness: str) -> str:
        """Return what a witness signed last, or ''; see `Ledger.cosigned`."""
        return self._cosigned.newest(VerifierKey.parse(witness))

    def keep(self, note: str, witness: str) -> None:
        """Keep what a witness signed over this record; see `Ledger.keep`."""
        signed = self._recorder.epochs.check(note)
        with self._readers.one() as connection:
            contained(signed.checkpoint, self.head().size, Tree(connection).root)
        self._cosigned.keep(signed, VerifierKey.parse(witness))

    def search(self, query: Query) -> Page:
        """Return one page of matching entries, newest first."""
        rows, following = self._index.newest(query, self.head().size)
        found = ({**json.loads(data), "leaf": leaf_hash(data).hex()} for _, data in rows)
        return Page(tuple(found), following)

    def export(self, file_format: str, query: Query) -> Iterator[bytes]:
        """Yield the matching entries as of now, oldest first, as a file of the given format."""
        if file_format == "tiles":
            if query != Query(limit=query.limit):
                raise BadInputError(
                    "tiles are of the whole record", hint="leave the filters out, or choose ndjson"
                )
            return tiles.pieces(self._readers, self.checkpoint())
        rows = self._index.entries(query, self.head().size)
        return exports.export(
            file_format, (Stored(seq, data, leaf_hash(data)) for seq, data in rows)
        )

    def verify(self) -> VerifiedRecord:
        """Walk the file as it is on disk; raise TamperedError at the first bad entry.

        The search index is looked at too: what it hides, no search finds.
        """
        verified = verify.verify_file(self.path, self._places)
        self._check_index()
        return verified

    def _check_index(self) -> None:
        """Throw an index away that hides something, and say so."""
        try:
            hidden = self._index.check()
        except TamperedError as error:
            self._index.rebuild()
            error.hint = HINT_INDEX
            raise
        if hidden is not None:
            self._index.rebuild()
            raise TamperedError(
                hidden, "the search index did not say of it what it says", hint=HINT_INDEX
            )

    def head(self) -> ChainHead:
        """Return the head as of the newest durable entry."""
        return self._recorder.head.chain

    @property
    def commits(self) -> int:
        """How many transactions were committed since the start, for measuring the grouping."""
        return self._recorder.commits

    def close(self) -> None:
        """Write what is queued, fold everything into audit.db, release the lock; safe to repeat."""
        self._writing.close()
        self._held.close()

    def _open(self, clock: Clock, boot_id: str, reserve_bytes: int) -> Recorder:
        reserve = Reserve(_reserve_path(self.path), reserve_bytes)
        if reserve.room() < NEARLY_NOTHING:
            # SQLite needs files beside the record to read it; the recorder then goes on as it
            # does on a full disk.
            reserve.release()
        try:
            with self._readers.one() as connection:
                found = verify.check_start(connection, self._places)
            keys = KeyFolder(folder_of(self.path), found.log)
            beside = self._places.beside
            notary = Notary(keys, beside, found.epochs, found.signed, found.opened, clock)
            with store.translated():
                recorder = Recorder(self.path, found.log, clock, boot_id, reserve, notary)
        except TamperedError as error:
            if error.hint == TamperedError.hint:
                error.hint = HINT_START
            raise
        recorder.start()
        return recorder

    def _proof(self, seq: int, note: str) -> str:
        signed = SignedCheckpoint.parse(note)
        size = signed.checkpoint.size
        with self._readers.one() as connection:
            data = store.read_entry(connection, seq) if 0 <= seq < size else None
            if data is None:
                raise NotFoundError(f"entry {seq} is not in the record", hint="check the number")
            hashes = merkle.inclusion_proof(seq, size, Tree(connection).subtree)
        return TlogProof(data, seq, tuple(hashes), signed).text()

    def _check_still_there(self) -> None:
        """Refuse to write into a file that was removed or replaced: nobody would find it there."""
        try:
            same = _identity(self.path) == self._file
        except OSError:
            same = False
        if not same:
            raise RecordUnavailableError(
                "the record's file was removed or replaced while in use; nothing was recorded",
                hint="stop the appliance, put the right audit.db back, verify it, start again",
            )


def _is_own(event: Event) -> bool:
    # Whatever is no event at all is for the recorder to refuse.
    return getattr(event, "action", None) in OWN_ACTIONS


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _reserve_path(path: Path) -> Path:
    return path.with_suffix(".reserve")


def _time_of(connection: sqlite3.Connection, seq: int) -> str | None:
    data = store.read_entry(connection, seq)
    return None if data is None else str(json.loads(data)["t"])
