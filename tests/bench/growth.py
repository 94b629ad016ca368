"""Does the record stay as quick at ten million entries as at ten thousand?

Usage: python -m tests.bench.growth [ENTRIES] [FOLDER]. The large record (about 900 bytes an
entry) and its index are made once and kept in FOLDER, by default build/bench/. Pages are asked
for through the index alone: no socket, no JSON. Appends go through the writer of the store and add
to the kept records, after the entries that are searched.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from appliance.audit import creation, store
from appliance.audit.actions import Outcome
from appliance.audit.chain import EMPTY
from appliance.audit.entry import Agent, Event, ModelRef, Position, encode, leaf_hash
from appliance.audit.index import Index
from appliance.audit.merkle import Frontier
from appliance.audit.query import Query
from appliance.audit.tree import Growth
from appliance.clock import rfc3339
from tests.bench import harness

SMALL, LARGE = 10_000, 10_000_000
START = 1_769_850_000  # 2026-01-31T09:00:00Z
EVERY_S = 15  # ten million entries are five years
LOG = "ward/audit/0123456789abcdef"
KEY = "ward/audit/0123456789abcdef+00000000+AQ=="
BOOT = "3f1b6c1e-0000-4000-8000-000000000001"
RARE = 64  # entries of one person, spread over the whole record
PAGES = 40
APPENDS = 2_000

# What each page is asked with. Every one has a full page in both records, except the rare ones.
QUERIES: Mapping[str, Query] = {
    "newest": Query(),
    "user": Query(user="usr_000000000000000000000007"),
    "rare user": Query(user="usr_rare"),
    "action, outcome": Query(action="answer.refuse", outcome="refused"),
    "far past": Query(since="2026-01-31T12:00:00Z", until="2026-01-31T18:00:00Z"),
    "user, far past": Query(
        user="usr_000000000000000000000007", since="2026-01-31T12:00", until="2026-01-31T18:00"
    ),
    "patient": Query(subject="pat_000000000000000000000000"),
    "text": Query(text="no-grant"),
}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else LARGE
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else harness.BUILD
    harness.report("growth", *measured(folder, count))


def measured(folder: Path, count: int) -> tuple[list[harness.Row], dict[str, float]]:
    """Return rows and ratios of `count` entries over 10,000; makes both records if need be."""
    records = {size: record(folder, size) for size in (SMALL, count)}
    indexes = {size: filled(path, size) for size, path in records.items()}
    rows = harness.measure({f"{size:,}": _Use(index, size) for size, index in indexes.items()})
    for index in indexes.values():
        index.close()

    def ratio(figure: str) -> float:
        small, large = (harness.median(rows, f"{size:,}", f"{figure}, us") for size in records)
        return large / small

    pages = {f"growth_page: {name}": ratio(name) for name in QUERIES}
    ratios = {
        "growth_entries": count,
        "growth_append": ratio("append"),
        "growth_page": statistics.median(pages.values()),
        **pages,
    }
    return rows, ratios


def record(folder: Path, count: int) -> Path:
    """Return a record of `count` entries with its tree, made if need be; no checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"growth-{count}.db"
    if not path.exists():
        new = path.with_name(f"new-{path.name}")
        new.unlink(missing_ok=True)
        started = time.perf_counter()
        creation.create(new, LOG, KEY)
        _fill(new, count)
        new.rename(path)
        _remark(f"{count:,} entries made in {time.perf_counter() - started:.0f} s", path)
    return path


def filled(path: Path, count: int) -> Index:
    """Return the index of a record, filled."""
    index = Index(path.with_suffix(".index.db"), path)
    started, before = time.perf_counter(), index.size
    index.catch_up(count)
    seconds = time.perf_counter() - started
    if before < count:
        _remark(f"{count - before:,} entries indexed in {seconds:.0f} s", index.path)
    return index


def append_us(path: Path, count: int = APPENDS) -> float:
    """Return the mean microseconds of one durable append to a record, one transaction each."""
    writer = store.Writer(path)
    growth = writer.growth(writer.head())
    data = writer.last_entry() or b""
    leaf = leaf_hash(data)
    started = time.perf_counter()
    for _ in range(count):
        head = writer.begin()
        batch = store.Batch([(head.size, data)], growth.add(leaf))
        frontier = b"".join(growth.frontier.roots)
        writer.commit(batch, store.Head(head.size + 1, leaf, frontier, head.pruned))
    seconds = time.perf_counter() - started
    writer.close()
    return seconds / count * 1e6


class _Use:
    """Microseconds of an append, and of one page of 100 for each query, the median of some."""

    def __init__(self, index: Index, size: int) -> None:
        self._index, self._size = index, size

    def __call__(self) -> Mapping[str, float]:
        pages = {f"{name}, us": self._time(query) for name, query in QUERIES.items()}
        return {"append, us": append_us(self._index.record), **pages}

    def _time(self, query: Query) -> float:
        seen = []
        for _ in range(PAGES):
            started = time.perf_counter()
            self._index.newest(query, self._size)
            seen.append((time.perf_counter() - started) * 1e6)
        return statistics.median(seen)


def _fill(path: Path, count: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    growth = Growth.of(connection, Frontier())
    leaf = EMPTY.leaf
    batch: list[tuple[int, bytes]] = []
    for seq, (data, hashed) in enumerate(entries(count)):
        leaf = hashed
        batch.append((seq, data))
        for tile in growth.add(leaf):
            connection.execute("INSERT INTO tiles VALUES (?, ?, ?)", tile)
        if len(batch) == 10_000 or seq == count - 1:
            connection.executemany("INSERT INTO entries VALUES (?, ?)", batch)
            batch.clear()
    connection.execute(
        "UPDATE head SET size = ?, leaf = ?, frontier = ?",
        (count, leaf, b"".join(growth.frontier.roots)),
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA locking_mode=NORMAL")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def entries(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield (entry, leaf hash) of a hospital's days, chained, the same at every call."""
    chance = random.Random(1)  # noqa: S311 - the same data each time
    templates = [_template(event) for event in _events()]
    weights = [40, 37, 2, 1, 8, 8, 4]
    kinds = chance.choices(range(len(templates)), weights, k=1_000_003)
    leaf, message = EMPTY.leaf, 0
    step = max(count // RARE, 1)
    for seq in range(count):
        kind = kinds[seq % len(kinds)]
        message += kind == 0
        # A few ask much, many ask little; likewise patients.
        user = b"usr_%024x" % int(200 * chance.random() ** 2)
        data = templates[kind] % {
            b"user": b"usr_rare" if seq % step == step // 2 else user,
            b"entity": b"msg_%024x" % (message * 0x9E3779B97F4A7C15 % 2**96),
            b"subject": b"pat_%024x" % int(100_000 * chance.random() ** 4),
            b"mono": seq * EVERY_S * 1_000_000,
            b"seq": seq,
            b"prev": leaf.hex().encode(),
            b"t": rfc3339(START + seq * EVERY_S).encode(),
        }
        leaf = leaf_hash(data)
        yield data, leaf


def _events() -> list[Event]:
    model = ModelRef("ward-7b", "1.0", "a" * 64)
    clinician = Agent("{user}", "clinician", "password")
    auditor = Agent("{user}", "auditor", "password")
    sealed = {"sha256": "b" * 64, "bytes": 1024, "key": "key_000000000001", "commitment": "c" * 64}
    login = Event("session.open", Outcome.SUCCESS, clinician, "10.1.2.3")
    asked = replace(
        login,
        action="answer.request",
        outcome=Outcome.INTENT,
        entity="{entity}",
        purpose="treatment",
        model=model,
        content={**sealed, "subject": "{subject}"},
        policy="model-active-and-allowed",
    )
    told = replace(
        asked, action="answer.complete", outcome=Outcome.SUCCESS,
        tokens={"prompt": 412, "answer": 134}, latency_ms=2345,
    )  # fmt: skip
    return [
        asked,
        told,
        replace(asked, action="answer.refuse", outcome=Outcome.REFUSED, policy="no-grant"),
        replace(asked, action="answer.fail", outcome=Outcome.FAILURE, latency_ms=30_000),
        login,
        replace(login, action="session.close"),
        replace(login, action="record.read", agent=auditor, source="10.9.9.9"),
    ]


def _template(event: Event) -> bytes:
    """Return an entry's bytes as a format; encoding each of ten million would take an hour."""
    high = 2**53 - 1
    data = encode(event, Position(LOG, high, "{t}", BOOT, high - 1, bytes(32)))
    data = data.replace(b"%d" % high, b"%(seq)d").replace(b"%d" % (high - 1), b"%(mono)d")
    data = data.replace(b'"prev":"' + b"0" * 64, b'"prev":"%(prev)b')
    for name in (b"user", b"entity", b"subject", b"t"):
        data = data.replace(b"{" + name + b"}", b"%(" + name + b")b")
    return data


def _remark(text: str, path: Path) -> None:
    size = path.stat().st_size / 1e9
    print(f"{text}, {size:.2f} GB: {path}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
