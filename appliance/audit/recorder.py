"""Turns events into durable entries, or says why it could not; fails closed.

One transaction per group: the head is read under the write lock and must be the one this
recorder left there, else nothing is written. On a full disk the reserve is given up, `disk.full`
is recorded once, and everything is refused until the reserve fits again; then appends resume by
themselves. Any other failure of the file refuses too, and is tried again after a second.

The tree grows with the entries: full tiles, due checkpoints and hand-overs to a new key go into the
same transaction as the entries they cover, so the record never shows one without the other.

Not here: threads and waiting (`writing.py`). One thread at a time may call.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from appliance.audit import epochs, store
from appliance.audit.actions import Outcome
from appliance.audit.entry import Agent, Event, Position, encode
from appliance.audit.epochs import Epoch, Epochs
from appliance.audit.ledger import Receipt
from appliance.audit.merkle import leaf_hash
from appliance.audit.notary import Notary
from appliance.audit.reserve import Reserve
from appliance.audit.store import Batch, Head
from appliance.audit.tree import Growth
from appliance.clock import Clock, rfc3339
from appliance.errors import (
    ApplianceError,
    BadInputError,
    ConflictError,
    DiskFullError,
    RecordUnavailableError,
    TamperedError,
)

RETRY_NS = 1_000_000_000
# Kept free when sorting out whether a failed write was a full disk in disguise (EDQUOT, EFBIG).
NEARLY_NOTHING = 65_536
LEDGER = Agent(user="ledger", role="system", method="internal")
DISK_FULL = Event("disk.full", Outcome.FAILURE, LEDGER)
# Canonical JSON sorts its keys, so every entry begins with its action.
_SAYS_FULL = b'{"action":"disk.full",'
PRUNE_AT_ONCE = 10_000


class Recorder:
    """The only holder of a `store.Writer`; knows the head that it wrote last."""

    def __init__(
        self, path: Path, log: str, clock: Clock, boot_id: str, reserve: Reserve, notary: Notary
    ) -> None:
        self._log, self._clock, self._boot, self._reserve = log, clock, boot_id, reserve
        self._notary = notary
        self._trouble: ApplianceError | None = None
        self._tried_ns = 0
        self._folded = False
        self._writer = store.Writer(path)
        self.head = self._writer.head()
        self._growth = self._writer.growth(self.head)
        # A restart on a disk that is still full does not say it again.
        last = self._writer.last_entry() or b""
        self._said_full = last.startswith(_SAYS_FULL)
        if not reserve.held():
            self._take_reserve()

    @property
    def commits(self) -> int:
        """How many transactions were committed, for measuring the grouping."""
        return self._writer.commits

    @property
    def epochs(self) -> Epochs:
        """Every epoch as of the newest durable entry."""
        return self._notary.epochs

    def record(self, events: Sequence[Event]) -> list[Receipt | ApplianceError]:
        """Return for each event its receipt once it is durable, or the error that stopped it."""
        if self._trouble is not None and self._due():
            self._resume()
        if self._trouble is None:
            try:
                if self._notary.hand_over_due():
                    self._hand_over()
                results = self._commit(events)
            except (sqlite3.Error, OSError, ApplianceError) as error:
                self._stumble(error)
            else:
                # Not as soon as the reserve fits again: what failed may fail again at once.
                self._said_full = False
                return results
        trouble = self._trouble or RecordUnavailableError("nothing was written")
        return [_again(trouble) for _ in events]

    def checkpoint(self) -> str:
        """Return a checkpoint over every entry there is; raise when it cannot be stored."""
        if self.head.size > self._notary.signed:
            if self._trouble is not None:
                raise _again(self._trouble)
            try:
                self._commit([], sign=True)
            except (sqlite3.Error, OSError, ApplianceError) as error:
                self._stumble(error)
                raise _again(
                    self._trouble or RecordUnavailableError("nothing was signed")
                ) from error
        newest = self._writer.newest_checkpoint()
        if newest is None:
            raise ConflictError("an empty record has no checkpoint", hint="record something first")
        return newest[1]

    def start(self) -> None:
        """Finish what a crash cut off: sign what no checkpoint covers, let go what was stated."""
        if self._trouble is None:
            # What cannot be done now does not hinder: the next start tries again.
            with contextlib.suppress(sqlite3.Error, OSError, ApplianceError):
                if self.head.size > self._notary.signed:
                    self.checkpoint()
                while self.head.pruned and self.sweep(self.head.pruned):
                    pass

    def state_pruning(self, event: Event) -> None:
        """Record and sign that entries go, so that `sweep` may let them go."""
        [stated] = self.record([event])
        if isinstance(stated, ApplianceError):
            raise stated
        self.checkpoint()

    def sweep(self, before: int) -> int:
        """Let go of some entries below `before`; return how many, 0 when none was left."""
        try:
            return self._writer.prune(before, PRUNE_AT_ONCE)
        finally:
            self._roll_back()
            self.head = self._writer.head()
            self._folded = False

    def rest(self) -> None:
        """Do what a quiet second is for: sign what is due, fold, or try to get out of trouble.

        Afterwards audit.db itself holds all entries, for whoever copies that file alone.
        """
        if self._trouble is not None and self._due():
            self._resume()
        if self._trouble is None:
            self._sign_what_is_due()
        if not self._folded:
            self._folded = self._writer.fold()

    def close(self) -> None:
        """Sign what no checkpoint covers yet, and let go of the file."""
        self._roll_back()
        with contextlib.suppress(sqlite3.Error, OSError, ApplianceError):
            if self.head.size > self._notary.signed:
                self._commit([], sign=True)
        self._roll_back()
        self._writer.fold(free=True)
        self._writer.close()

    def _sign_what_is_due(self) -> None:
        try:
            if self._notary.hand_over_due():
                self._hand_over()
            elif self._notary.note_growth(self.head.size):
                self._commit([], sign=True)
        except (sqlite3.Error, OSError, ApplianceError) as error:
            self._stumble(error)

    def _hand_over(self) -> None:
        epoch = self._notary.next_epoch(self.head.size)
        content = epoch.stated(self._notary.epochs.current)
        event = Event(epochs.ACTION, Outcome.SUCCESS, LEDGER, content=content)
        self._commit([event], sign=True, epoch=epoch)
        self._notary.handed_over(epoch)

    def _commit(
        self, events: Sequence[Event], *, sign: bool = False, epoch: Epoch | None = None
    ) -> list[Receipt | ApplianceError]:
        found = self._writer.begin()
        if found != self.head:
            raise TamperedError(
                found.size, "its head was changed by something other than the ledger"
            )
        results: list[Receipt | ApplianceError] = []
        batch = Batch(epoch=epoch)
        growth, last = self._growth.copy(), self.head.leaf
        for event in events:
            try:
                data, receipt = self._entry(event, growth.frontier.size, last)
            except ApplianceError as error:
                results.append(error)
                continue
            batch.entries.append((receipt.seq, data))
            batch.tiles += growth.add(receipt.leaf)
            results.append(receipt)
            last = receipt.leaf
        if sign or self._notary.note_growth(growth.frontier.size):
            batch.checkpoint = self._notary.sign(growth.frontier)
        if batch.entries or batch.checkpoint:
            self._store(batch, growth, last)
        else:
            self._roll_back()
        return results

    def _store(self, batch: Batch, growth: Growth, last: bytes) -> None:
        self._folded = False
        tree = growth.frontier
        head = Head(tree.size, last, b"".join(tree.roots), self.head.pruned)
        self._writer.commit(batch, head)
        self.head, self._growth = head, growth
        if batch.checkpoint is not None:
            self._notary.stored(batch.checkpoint)

    def _entry(self, event: Event, seq: int, prev: bytes) -> tuple[bytes, Receipt]:
        t = rfc3339(self._clock.now())
        mono = self._clock.monotonic_ns() // 1_000
        position = Position(self._log, seq, t, self._boot, mono, prev)
        try:
            data = encode(event, position)
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            raise BadInputError(f"not an event: {error}") from error
        return data, Receipt(seq, leaf_hash(data), t)

    def _stumble(self, error: Exception) -> None:
        """Refuse from now on, and say why; tried again after a second."""
        if isinstance(error, ApplianceError) and not isinstance(error, DiskFullError):
            self._roll_back()
            self._tried_ns = self._clock.monotonic_ns()
            self._trouble = RecordUnavailableError(error.message, hint=error.hint)
        else:
            self._enter_trouble(error)

    def _enter_trouble(self, error: Exception) -> None:
        self._roll_back()
        self._tried_ns = self._clock.monotonic_ns()
        if not self._is_full(error):
            self._trouble = RecordUnavailableError(f"the record cannot be written: {error}")
            return
        self._trouble = DiskFullError("nothing was recorded: the disk is full")
        self._reserve.release()
        self._say_full()
        # That frees the write-ahead log, often enough to let other parts end in order.
        self._writer.fold(free=True)

    def _say_full(self) -> None:
        if self._said_full:
            return
        try:
            self._commit([DISK_FULL])
            self._said_full = True
        except (sqlite3.Error, OSError, TamperedError):
            self._roll_back()

    def _resume(self) -> None:
        self._tried_ns = self._clock.monotonic_ns()
        if isinstance(self._trouble, DiskFullError):
            self._say_full()
            self._take_reserve()
            return
        try:
            if self._writer.begin() == self.head:
                self._trouble = None
        except (sqlite3.Error, OSError, TamperedError):
            pass  # stays in trouble, and is tried again later
        self._roll_back()

    def _take_reserve(self) -> None:
        try:
            self._reserve.take()
        except (DiskFullError, OSError) as error:
            self._trouble = self._trouble or DiskFullError(f"there is no room to write: {error}")
        else:
            self._trouble = None

    def _is_full(self, error: Exception) -> bool:
        if isinstance(error, DiskFullError):
            return True
        if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
            return True
        return self._reserve.room() < NEARLY_NOTHING

    def _roll_back(self) -> None:
        try:
            self._writer.roll_back()
        except sqlite3.Error:
            self._trouble = self._trouble or RecordUnavailableError("the record is stuck")

    def _due(self) -> bool:
        return self._clock.monotonic_ns() - self._tried_ns >= RETRY_NS


def _again(error: ApplianceError) -> ApplianceError:
    """Return a fresh copy: one exception object raised in many threads mixes their tracebacks."""
    return type(error)(error.message, hint=error.hint)
