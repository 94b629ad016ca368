"""The search index `audit.index.db`: derived from the record, off the path of an append.

An entry is made of bytes that prove something; how it is found lies in a file of its own, which
is filled after the entry is durable (`index_file.py`). It may be deleted or damaged at any time:
it is made again from the record, and until then searches read the record itself (`search.py`).
A record that was restored or replaced is noticed by the hash of the last entry that is covered.

One process at a time may open an index: the one that holds the record's lock.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.audit import index_check, index_file, search, store
from appliance.audit.query import Query
from appliance.audit.search import Found, Span
from appliance.errors import ApplianceError, TamperedError

# So many entries a search covers itself before it looks; a larger gap it reads through.
NEAR = 10_000
# How many entries go into one transaction. Identifiers are random, so each of a chunk writes to
# another page: a record that has to be covered from its start goes in large chunks.
CHUNK = 5_000
LARGE_CHUNK = 100_000
# What little is left of a disk is for the record; a large chunk needs some hundred megabytes.
ROOM_BYTES = 64 * 1_048_576
LARGE_ROOM_BYTES = 1_024 * 1_048_576
PAGE = 500


class Index:
    """The index of one record. Any thread may call any method.

    Methods raise what `store.translate` makes of an error of SQLite. An index that cannot be
    made or written keeps nobody from searching.
    """

    def __init__(self, path: Path, record: Path) -> None:
        """Open `path`, or make it anew when it is missing, damaged or of another record."""
        self.path, self.record = path, record
        self._turn = threading.Lock()  # one thread fills
        self._lending = threading.Condition()
        self._lent = 0
        self._idle: list[sqlite3.Connection] = []
        self._changing = False
        self._writer: sqlite3.Connection | None = None
        self._size = 0
        self._closing = threading.Event()
        self._follower: threading.Thread | None = None
        with self._turn, contextlib.suppress(sqlite3.Error, OSError):
            self._prepare()

    @property
    def size(self) -> int:
        """How many entries are covered, from the first on."""
        return self._size

    def catch_up(self, size: int, *, at_most: int | None = None) -> int:
        """Cover the entries below `size`, or the next `at_most` of them; return up to where.

        Stops early when the disk has little room left.
        """
        goal = size if at_most is None else min(size, self._size + at_most)
        while self._size < goal and self._go_on(goal):
            pass
        return self._size

    def follow(self, size: Callable[[], int], every_s: float = 1.0) -> None:
        """Start a thread that catches up with `size()` again and again, until `close`."""
        self._follower = threading.Thread(
            target=self._follow, args=(size, every_s), name="index", daemon=True
        )
        self._follower.start()

    def newest(self, query: Query, size: int) -> tuple[list[tuple[int, bytes]], int | None]:
        """Return one page of entries (seq, bytes) below `size`, newest first, and what follows.

        The second value is the `before_seq` of the next page, None when nothing older is left. A
        page with a next one may be short or empty: so far back it was searched.
        """
        high = size if query.before_seq is None else min(size, query.before_seq)
        self._come_near(size)
        # One more than asked for tells whether there is another page.
        found = self._find(query, 0, high, query.limit + 1)
        if len(found.rows) <= query.limit:
            return found.rows, found.rest
        page = found.rows[: query.limit]
        return page, page[-1][0]

    def entries(self, query: Query, size: int) -> Iterator[tuple[int, bytes]]:
        """Yield all matching entries (seq, bytes) below `size`, oldest first; `limit` is not used.

        No snapshot is held between pages: it would keep side logs from being folded in.
        """
        self._come_near(size)
        low: int | None = 0
        high = size if query.before_seq is None else min(size, query.before_seq)
        while low is not None:
            found = self._find(query, low, high, PAGE, forward=True)
            yield from found.rows
            low = found.rest

    def check(self) -> int | None:
        """Return the first entry that the index has not as the record has it, or None.

        Raises TamperedError when the file is damaged so that no entry can be named. Either way
        the record itself is not concerned, and `rebuild` mends it.
        """
        with store.translated(), self._reader() as connection:
            if connection.execute("SELECT size FROM state").fetchone()[0] == 0:
                return None
            try:
                return index_check.check(connection)
            except sqlite3.DatabaseError as error:
                if not index_file.is_at_fault(self.path, error):
                    raise
                what = f"sqlite says of the search index: {error}"
                raise TamperedError(None, what) from error

    def forget_below(self, seq: int) -> None:
        """Drop what the index has of entries below `seq` that the record has no longer."""
        more = True
        while more:
            with self._turn, store.translated():
                more = self._forget(seq)

    def rebuild(self) -> None:
        """Throw the index away; `catch_up` fills the new one."""
        with self._turn, store.translated():
            self._replace()

    def close(self) -> None:
        """Let go of both files; safe to repeat."""
        self._closing.set()
        if self._turn.locked() and (writer := self._writer) is not None:
            with contextlib.suppress(sqlite3.ProgrammingError):  # it was closed just now
                writer.interrupt()  # a large chunk takes seconds
        if self._follower is not None:
            self._follower.join()
        with self._turn:
            self._adopt(None, self._size)

    def _follow(self, size: Callable[[], int], every_s: float) -> None:
        while not self._closing.wait(every_s):
            # Searches work without the index, and the next round may have more luck.
            with contextlib.suppress(ApplianceError, OSError):
                while not self._closing.is_set() and self._size < (goal := size()):
                    if not self._go_on(goal):
                        break

    def _come_near(self, size: int) -> None:
        if self._size < size <= self._size + NEAR:
            with contextlib.suppress(ApplianceError, OSError):
                self.catch_up(size)

    def _find(
        self, query: Query, low: int, high: int, want: int, *, forward: bool = False
    ) -> Found:
        with store.translated():
            for last in (False, True):
                try:
                    with self._reader() as connection:
                        covered = connection.execute("SELECT size FROM state").fetchone()[0]
                        span = Span(low, high, covered)
                        return search.find(connection, query, span, want, forward=forward)
                except sqlite3.DatabaseError as error:
                    if last or not self._mend(error):
                        raise
        raise AssertionError  # the loop returns or raises

    def _mend(self, error: sqlite3.DatabaseError) -> bool:
        """Replace the index if it is what an error came from; return whether it was."""
        if not index_file.is_at_fault(self.path, error):
            return False
        with self._turn:
            self._replace()
        return True

    def _go_on(self, goal: int) -> bool:
        """Cover the next chunk below `goal`; False when the disk has no room for it."""
        disk = os.statvfs(self.path.parent)
        room = disk.f_bavail * disk.f_frsize
        if room < ROOM_BYTES:
            return False
        large = goal - self._size > LARGE_CHUNK and room > LARGE_ROOM_BYTES
        with self._turn, store.translated():
            self._add(goal, LARGE_CHUNK if large else CHUNK)
        return True

    def _add(self, goal: int, at_most: int) -> None:
        if self._writer is None:
            self._prepare()
        if self._writer is None:
            raise sqlite3.OperationalError("the search index is closed")
        try:
            self._size = index_file.add(self._writer, goal, at_most)
        except sqlite3.DatabaseError as error:
            if not index_file.is_at_fault(self.path, error):
                raise
            self._replace()

    def _forget(self, below: int) -> bool:
        if self._writer is None:
            return False
        try:
            return index_file.forget(self._writer, below, CHUNK)
        except sqlite3.DatabaseError as error:
            if not index_file.is_at_fault(self.path, error):
                raise
            self._replace()
            return False

    def _prepare(self) -> None:
        """Open the file if it is as it was made, for this record; else make a new one."""
        if self._closing.is_set():
            return
        there = index_file.reopen(self.path, self.record)
        if there is None:
            self._replace()
        else:
            self._adopt(*there)

    def _replace(self) -> None:
        self._adopt(None, 0)
        if not self._closing.is_set():
            self._adopt(index_file.create(self.path, self.record), 0)

    def _adopt(self, writer: sqlite3.Connection | None, size: int) -> None:
        """Let go of all connections and go on with this one.

        Nobody may still have the old file open when it is replaced: SQLite would remove the side
        log of the new one with it.
        """
        with self._lending:
            self._changing = True
            self._lending.wait_for(lambda: self._lent == 0)
            self._changing = False
            while self._idle:
                self._idle.pop().close()
            if self._writer is not None:
                self._writer.close()
            self._writer, self._size = writer, size
            self._lending.notify_all()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with self._lending:
            self._lending.wait_for(lambda: not self._changing)
            connection = self._idle.pop() if self._idle else None
            there = self._writer is not None
            self._lent += 1
        whole = False
        try:
            if connection is None and there:
                connection = index_file.connect(self.path, self.record, "ro")
            connection = connection or index_file.without_index(self.record)
            yield connection
            whole = True
        finally:
            with self._lending:
                if connection is not None:
                    if whole and not self._closing.is_set():
                        self._idle.append(connection)
                    else:
                        connection.close()
                self._lent -= 1
                self._lending.notify_all()
