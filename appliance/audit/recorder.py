"""Turns events into durable entries, or says why it could not; fails closed.

One transaction per group: the head is read under the write lock and must be the one this
recorder left there, else nothing is written. On a full disk the reserve is given up, `disk.full`
is recorded once, and everything is refused until the reserve fits again; then appends resume by
themselves. Any other failure of the file refuses too, and is tried again after a second.

Not here: threads and waiting (`log.py`). One thread at a time may call `record` and `rest`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance.audit import store
from appliance.audit.actions import Outcome
from appliance.audit.chain import ChainHead
from appliance.audit.entry import Agent, Event, Position, encode, leaf_hash
from appliance.audit.ledger import Receipt
from appliance.audit.reserve import Reserve
from appliance.clock import Clock, rfc3339
from appliance.errors import (
    ApplianceError,
    BadInputError,
    DiskFullError,
    RecordUnavailableError,
    TamperedError,
)

RETRY_NS = 1_000_000_000
# Kept free when sorting out whether a failed write was a full disk in disguise (EDQUOT, EFBIG).
NEARLY_NOTHING = 65_536
LEDGER = Agent(user="ledger", role="system", method="internal")
DISK_FULL = Event("disk.full", Outcome.FAILURE, LEDGER)


class Recorder:
    """The only holder of a `store.Writer`; knows the head that it wrote last."""

    def __init__(
        self, path: Path, log: str, head: ChainHead, clock: Clock, boot_id: str, reserve: Reserve
    ) -> None:
        self.head = head
        self._log, self._clock, self._boot, self._reserve = log, clock, boot_id, reserve
        self._trouble: ApplianceError | None = None
        self._tried_ns = 0
        self._folded = False
        self._writer = store.Writer(path)
        # A restart on a disk that is still full does not say it again.
        self._said_full = self._writer.last_action() == DISK_FULL.action
        if not reserve.held():
            self._take_reserve()

    @property
    def commits(self) -> int:
        """How many transactions were committed, for measuring the grouping."""
        return self._writer.commits

    @property
    def resting(self) -> bool:
        """Tell whether there is nothing left for `rest` to do."""
        return self._folded and self._trouble is None

    def record(self, events: Sequence[Event]) -> list[Receipt | ApplianceError]:
        """Return for each event its receipt once it is durable, or the error that stopped it."""
        if self._trouble is not None and self._due():
            self._resume()
        if self._trouble is not None:
            return [_again(self._trouble) for _ in events]
        try:
            return self._commit(events)
        except (sqlite3.Error, OSError) as error:
            self._enter_trouble(error)
        except TamperedError as error:
            self._roll_back()
            self._trouble = RecordUnavailableError(error.message, hint=error.hint)
        trouble = self._trouble or RecordUnavailableError("nothing was written")
        return [_again(trouble) for _ in events]

    def rest(self) -> None:
        """Do what a quiet second is for: fold the write-ahead log in, or try to get out of trouble.

        Afterwards audit.db itself holds all entries, for whoever copies that file alone.
        """
        if self._trouble is not None and self._due():
            self._resume()
        if not self._folded:
            self._folded = self._writer.fold()

    def close(self) -> None:
        self._roll_back()
        self._writer.fold()
        self._writer.close()

    def _commit(self, events: Sequence[Event]) -> list[Receipt | ApplianceError]:
        found = self._writer.begin()
        if found != self.head:
            raise TamperedError(
                found.size, "its head was changed by something other than the ledger"
            )
        results: list[Receipt | ApplianceError] = []
        rows: list[tuple[Any, ...]] = []
        head = self.head
        for event in events:
            try:
                row, receipt = self._entry(event, head)
            except ApplianceError as error:
                results.append(error)
                continue
            rows.append(row)
            results.append(receipt)
            head = ChainHead(receipt.seq + 1, receipt.leaf)
        if rows:
            self._folded = False
            self._writer.commit(rows, head)
            self.head = head
        else:
            self._roll_back()
        return results

    def _entry(self, event: Event, head: ChainHead) -> tuple[tuple[Any, ...], Receipt]:
        t = rfc3339(self._clock.now())
        mono = self._clock.monotonic_ns() // 1_000
        position = Position(self._log, head.size, t, self._boot, mono, head.leaf)
        try:
            data = encode(event, position)
            columns = store.derived({**event.to_json(), "t": t})
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            raise BadInputError(f"not an event: {error}") from error
        leaf = leaf_hash(data)
        return (head.size, data, leaf, *columns), Receipt(head.size, leaf, t)

    def _enter_trouble(self, error: Exception) -> None:
        self._roll_back()
        self._tried_ns = self._clock.monotonic_ns()
        if not self._is_full(error):
            self._trouble = RecordUnavailableError(f"the record cannot be written: {error}")
            return
        self._trouble = DiskFullError("nothing was recorded: the disk is full")
        self._reserve.release()
        self._say_full()
        # Folding frees the write-ahead log, often enough to let other parts end in order.
        self._writer.fold()

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
            self._trouble, self._said_full = None, False

    def _is_full(self, error: Exception) -> bool:
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
