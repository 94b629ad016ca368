"""The one writer: an event that `append` returned for is durable, chained, and in order.

One thread writes; callers queue and wait. Whatever waits when the thread is ready goes into one
commit (group commit), so that many callers share the price of one fsync.

At start the whole chain, the head and the search columns are verified; anything else than a
whole record is refused, with advice. (Once there are signed checkpoints, the walk will start at
the last one that verifies.) A missing file is refused too: only `Log.create` makes one. A lock
beside the file keeps a second ledger out; SQLite's own lock would let two take turns.
"""

from __future__ import annotations

import contextlib
import json
import queue
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from appliance import durable
from appliance.audit import exports, search, store, verify
from appliance.audit.chain import ChainHead, Stored
from appliance.audit.entry import Event
from appliance.audit.ledger import Receipt, VerifiedRecord
from appliance.audit.query import Page, Query
from appliance.audit.recorder import Recorder
from appliance.audit.reserve import Reserve
from appliance.clock import Clock
from appliance.config import Ledger as Settings
from appliance.errors import (
    ApplianceError,
    NotInitialisedError,
    RecordUnavailableError,
    TamperedError,
)

QUIET_S = 1.0
HINT_START = (
    "the record was not opened and nothing was changed; keep a copy of the file, call the person "
    "in charge of security, then restore the newest backup that verifies"
)


class _Waiting:
    """One event on its way; `done` is released when `result` is there."""

    __slots__ = ("done", "event", "result")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.result: Receipt | ApplianceError | None = None
        # A bare lock wakes a thread faster than threading.Event, which builds on a condition.
        self.done = threading.Lock()
        self.done.acquire()


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
        self._max_group = settings.max_group
        self._readers = store.Readers(path)
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        with contextlib.ExitStack() as stack:
            lock = path.with_name(path.name + ".lock")
            stack.enter_context(durable.exclusive(lock, f"the record {path}"))
            stack.callback(self._readers.close)
            log_id, head = self._verify_at_start()
            reserve = Reserve(_reserve_path(path), settings.reserve_bytes)
            with store.translated():
                self._recorder = Recorder(path, log_id, head, clock, boot_id, reserve)
            stack.callback(self._recorder.close)
            # Readers go first: the last to close removes the side log, and only a writer may.
            stack.callback(self._readers.close)
            self._held = stack.pop_all()
        self._thread = threading.Thread(target=self._write, name="record", daemon=True)
        self._thread.start()

    @classmethod
    def create(cls, path: Path, log_id: str, reserve_bytes: int) -> None:
        """Make an empty record (0600) and its reserve; raise ConflictError when there is one."""
        Reserve(_reserve_path(path), reserve_bytes).take()
        store.create(path, log_id)

    def append(self, event: Event) -> Receipt:
        """Return once the event is durable; see `Ledger.append`."""
        waiting = _Waiting(event)
        with self._gate:
            if self._closed:
                raise RecordUnavailableError("nothing was recorded: the record is being closed")
            self._queue.put(waiting)
        waiting.done.acquire()
        if isinstance(waiting.result, Receipt):
            return waiting.result
        raise waiting.result or RecordUnavailableError("nothing was recorded")

    def search(self, query: Query) -> Page:
        """Return one page of matching entries, newest first."""
        with self._readers.one() as connection:
            rows = search.newest(connection, query)
        found = tuple({**json.loads(data), "leaf": leaf.hex()} for _, data, leaf in rows)
        # One more than asked for tells whether there is another page.
        more = len(found) > query.limit
        page = found[: query.limit]
        return Page(page, page[-1]["seq"] if more else None)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[Stored]:
        """Yield entries `start` <= seq < `stop` in order, in constant memory."""
        stop = self.head().size if stop is None else stop
        return store.pages(self._readers, "seq < ?", [stop], start)

    def export(self, file_format: str, query: Query) -> Iterator[bytes]:
        """Yield the matching entries as of now, oldest first, as a file of the given format."""
        where, values = search.condition(query, below=self.head().size)
        return exports.export(file_format, store.pages(self._readers, where, values, 0))

    def verify(self) -> VerifiedRecord:
        """Walk the file as it is on disk; raise TamperedError at the first bad entry."""
        return verify.verify_file(self.path)

    def head(self) -> ChainHead:
        """Return the head as of the newest durable entry."""
        return self._recorder.head

    @property
    def commits(self) -> int:
        """How many transactions were committed since the start, for measuring the grouping."""
        return self._recorder.commits

    def close(self) -> None:
        """Write what is queued, fold everything into audit.db, release the lock; safe to repeat."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        self._held.close()

    def _verify_at_start(self) -> tuple[str, ChainHead]:
        try:
            with self._readers.one() as connection:
                return store.read_log_id(connection), verify.walk(connection).head
        except TamperedError as error:
            error.hint = HINT_START
            raise

    def _write(self) -> None:
        while True:
            group, last = self._next_group()
            if group:
                self._settle(group)
            elif not last:
                # Whatever goes wrong in a quiet second must not end the thread that answers.
                with contextlib.suppress(sqlite3.Error, OSError, ApplianceError):
                    self._recorder.rest()
            if last:
                return

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        """Wait for work; return it (empty after a quiet second) and whether it is the last."""
        group: list[_Waiting] = []
        with contextlib.suppress(queue.Empty):
            # When resting, there is nothing to do in a quiet second: sleep until there is.
            item = self._queue.get(timeout=None if self._recorder.resting else QUIET_S)
            while item is not None:
                group.append(item)
                if len(group) >= self._max_group:
                    return group, False
                item = self._queue.get_nowait()
            return group, True
        return group, False

    def _settle(self, group: list[_Waiting]) -> None:
        try:
            self._check_still_there()
            results = self._recorder.record([waiting.event for waiting in group])
        except ApplianceError as error:
            results = [error for _ in group]
        except Exception as error:
            results = [RecordUnavailableError(f"nothing was recorded: {error!r}") for _ in group]
        for waiting, result in zip(group, results, strict=True):
            waiting.result = result
            waiting.done.release()

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


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _reserve_path(path: Path) -> Path:
    return path.with_suffix(".reserve")
