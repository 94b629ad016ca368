"""Finding entries: newest first for a page, oldest first for a file, a limited number at once.

Works on a connection whose main database is the search index (see `index.py`) and to which the
record is attached as `record`. What the index covers is found through it; entries that it does
not cover yet are read one by one, so that a search sees all that is durable.

One call examines a limited number of candidates: 10,000,000 entries must not make one page take
a minute. When that is used up, the page is short and says how far it looked (`Found.rest`).
The filter that is rarest where the search is at work leads, and the others are tested on what it
finds. Blocks of 2,048 entries, and eras of 32 blocks, carry their earliest and latest time, so that
a time filter skips the rest of the record even when the machine's clock was set back and forth.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from appliance.audit.columns import PARSED, VALUES, T, add_text, add_times, spelled
from appliance.audit.query import EXACT, Query

BLOCK = 2_048
ERA = 32 * BLOCK
# How many candidates one call examines. Reading entries in order is cheaper than here and there.
WINDOW = 250_000
WINDOW_OF_READS = 50_000
FIRST_STEP = 500
GROWTH = 8

_PER = ERA // BLOCK
# Of a block or an era, with the times as ?3 and ?4.
_FITS = "(b.last_t >= ?3 AND b.first_t < ?4)"
_SOME_FITS = "(e.last_t >= ?3 AND e.first_t < ?4)"
_ALL_FIT = "(e.first_t >= ?3 AND e.last_t < ?4)"


@dataclass
class Found:
    """Matching entries (seq, bytes), and where to go on.

    `rest` is None when the walk came to its end. Newest first, all entries from `rest` up were
    examined; oldest first, all those below it.
    """

    rows: list[tuple[int, bytes]] = field(default_factory=list)
    rest: int | None = None


@dataclass(frozen=True)
class Span:
    """Which entries to look at: `low` <= seq < `high`; the index covers those below `indexed`."""

    low: int
    high: int
    indexed: int


def find(
    connection: sqlite3.Connection,
    query: Query,
    span: Span,
    want: int,
    *,
    forward: bool = False,
    window: int | None = None,
) -> Found:
    """Return up to `want` matching entries, newest first, or with `forward` oldest first.

    Examines at most `window` candidates in the index and as many beside it; by default as many
    as a person waits for.
    """
    part = min(max(span.low, span.indexed), span.high)
    walks = [
        _Scan(connection, query, (part, span.high), forward=forward, window=window),
        _Walk(connection, query, (span.low, part), forward=forward, window=window),
    ]
    found = Found()
    for walk in reversed(walks) if forward else walks:
        walk.go(found, want)
        if len(found.rows) >= want:
            last = found.rows[-1][0]
            found.rest = last + 1 if forward else last
        if found.rest is not None:
            break
    return found


class _Scan:
    """Entries that the index does not cover: each is read and taken apart."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        query: Query,
        span: tuple[int, int],
        *,
        forward: bool,
        window: int | None,
    ) -> None:
        self._run = connection.execute
        self._query = query
        self._span = span
        self._forward = forward
        self._order = "ASC" if forward else "DESC"
        self._step = FIRST_STEP
        self._left = WINDOW_OF_READS if window is None else window

    def go(self, found: Found, want: int) -> None:
        """Add what is found until there are `want`, the window is used up, or the end is there."""
        for low, high in self._pieces():
            if not self._go_through(low, high, found, want):
                return

    def _pieces(self) -> Iterator[tuple[int, int]]:
        if self._span[0] < self._span[1]:
            yield self._span

    def _go_through(self, low: int, high: int, found: Found, want: int) -> bool:
        """Walk one piece in growing steps; return whether the next may follow."""
        while low < high:
            step = min(self._step, self._left)
            if step == 0:
                found.rest = low if self._forward else high
                return False
            lead, bound = self._lead(low, high, step)
            at, to = low, high
            if bound is not None:
                self._left -= step
                self._step *= GROWTH
                at, to = (low, bound + 1) if self._forward else (bound, high)
            found.rows += self._matches(lead, at, to, want - len(found.rows))
            if len(found.rows) >= want:
                return False
            low, high = (to, high) if self._forward else (low, at)
        return True

    def _lead(self, low: int, high: int, step: int) -> tuple[str | None, int | None]:
        """Return the leading filter, and where its candidate number `step` is, if so many."""
        return None, self._nth("record.entries WHERE 1", [], low, high, step)

    def _nth(self, where: str, values: list[Any], low: int, high: int, step: int) -> int | None:
        row = self._run(
            f"SELECT seq FROM {where} AND seq >= ? AND seq < ? "  # noqa: S608 - fixed names
            f"ORDER BY seq {self._order} LIMIT 1 OFFSET ?",
            [*values, low, high, step - 1],
        ).fetchone()
        return None if row is None else row[0]

    def _matches(self, lead: str | None, low: int, high: int, want: int) -> list[tuple[int, bytes]]:
        del lead
        where, values = ["1"], []
        for name in EXACT:
            value = getattr(self._query, name)
            if value is not None:
                where.append(f"{VALUES[name]} = ?")
                values.append(spelled(value))
        add_times(where, values, self._query, T)
        add_text(where, values, self._query)
        return self._run(
            f"SELECT seq, entry FROM {PARSED} WHERE {' AND '.join(where)} "  # noqa: S608 - fixed names
            f"ORDER BY seq {self._order} LIMIT ?",
            [low, high, *values, want],
        ).fetchall()


class _Walk(_Scan):
    """Entries that the index covers."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        query: Query,
        span: tuple[int, int],
        *,
        forward: bool,
        window: int | None,
    ) -> None:
        super().__init__(connection, query, span, forward=forward, window=window)
        self._ids: dict[str, int] = {}
        self._known = span[0] < span[1] and self._look_up()
        scattered = query.text is not None and self._ids
        if window is None and not scattered:
            self._left = WINDOW

    def _look_up(self) -> bool:
        """Find the numbers of the filters' values; False when one is in no entry at all."""
        for name in EXACT:
            value = getattr(self._query, name)
            if value is None:
                continue
            row = self._run("SELECT id FROM words WHERE value = ?", [spelled(value)]).fetchone()
            if row is None:
                return False
            self._ids[name] = row[0]
        return True

    def _pieces(self) -> Iterator[tuple[int, int]]:
        if not self._known:
            return
        if self._query.since is None and self._query.until is None:
            yield self._span
            return
        low, high = self._span
        while (run := self._run_of_blocks(low, high)) is not None:
            yield run
            low, high = (run[1], high) if self._forward else (low, run[0])

    def _run_of_blocks(self, low: int, high: int) -> tuple[int, int] | None:
        """Return the nearest part of `low` to `high` in whose blocks the wanted times occur."""
        if low >= high:
            return None
        times = [self._query.since or "", self._query.until or "~"]
        blocks = low // BLOCK, (high - 1) // BLOCK
        near = self._block(_FITS, _SOME_FITS, blocks, times)
        if near is None:
            return None
        beyond = (near, blocks[1]) if self._forward else (blocks[0], near)
        end = self._block(f"NOT {_FITS}", f"NOT {_ALL_FIT}", beyond, times)
        if self._forward:
            return max(low, near * BLOCK), high if end is None else end * BLOCK
        return low if end is None else (end + 1) * BLOCK, min(high, (near + 1) * BLOCK)

    def _block(self, which: str, eras: str, among: tuple[int, int], times: list[str]) -> int | None:
        """Return the first block on the way for which `which` holds; only such eras have one."""
        row = self._run(
            "SELECT block FROM eras AS e CROSS JOIN blocks AS b "  # noqa: S608 - fixed names
            f"ON block BETWEEN max(era * {_PER}, ?1) AND min(era * {_PER} + {_PER - 1}, ?2) "
            f"WHERE era BETWEEN ?1 / {_PER} AND ?2 / {_PER} AND {eras} AND {which} "
            f"ORDER BY era {self._order}, block {self._order} LIMIT 1",
            [*among, *times],
        ).fetchone()
        return None if row is None else row[0]

    def _lead(self, low: int, high: int, step: int) -> tuple[str | None, int | None]:
        if not self._ids:
            return None, self._nth("facts WHERE 1", [], low, high, step)
        far: dict[str, int] = {}
        for name, number in self._ids.items():
            where = f"facts INDEXED BY facts_by_{name} WHERE {name} = ?"
            bound = self._nth(where, [number], low, high, step)
            if bound is None:
                return name, None
            far[name] = bound
        # Of the rarest filter, so many candidates reach farthest.
        name = (max if self._forward else min)(far, key=far.__getitem__)
        return name, far[name]

    def _matches(self, lead: str | None, low: int, high: int, want: int) -> list[tuple[int, bytes]]:
        how = "NOT INDEXED" if lead is None else f"INDEXED BY facts_by_{lead}"
        where, values = ["f.seq >= ?", "f.seq < ?"], [low, high]
        for name, number in self._ids.items():
            where.append(f"f.{name} = ?")
            values.append(number)
        add_times(where, values, self._query, "f.t")
        add_text(where, values, self._query)
        return self._run(
            f"SELECT f.seq, entry FROM facts AS f {how} CROSS JOIN record.entries AS e "  # noqa: S608 - fixed names
            f"ON e.seq = f.seq WHERE {' AND '.join(where)} ORDER BY f.seq {self._order} LIMIT ?",
            [*values, want],
        ).fetchall()
