"""Any search over any record finds what reading every entry finds, also where clocks jump."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.audit import index_file, search
from appliance.audit.actions import Outcome
from appliance.audit.entry import Agent, Event, ModelRef
from appliance.audit.query import EXACT, Query, moment
from appliance.audit.search import BLOCK, ERA, Span
from appliance.clock import rfc3339
from tests.unit.audit.index_samples import DAY_S, START, SUBJECT, Record, matches
from tests.unit.audit.samples import event

WORDS = ("usr_1", "usr_2", "a\nb", 'quo"te', "back\\slash", "Ärztin", "nul\0l", "%", "", "other")
maybe = st.none() | st.sampled_from(WORDS)
subjects = st.none() | st.sampled_from([SUBJECT, SUBJECT[:-1] + "0"])
# The clock may be set ten years either way; minutes apart, hours apart.
times = st.sampled_from([0, 60, 3_600, DAY_S, -3_600, 3_650 * DAY_S, -3_650 * DAY_S])
moments = st.none() | times.map(
    lambda seconds: moment("2026-01-31T09:00:00Z").replace(
        "2026", str(2026 + seconds // (365 * DAY_S))
    )
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event, made of few words so that filters hit."""
    name = draw(maybe)
    return event(
        draw(st.integers(0, 3)),
        action=draw(st.sampled_from(["answer.complete", "answer.refuse", "record.read"])),
        outcome=draw(st.sampled_from(list(Outcome))),
        agent=Agent(draw(st.sampled_from(WORDS)), draw(st.sampled_from(WORDS)), "password"),
        source=draw(maybe),
        entity=draw(maybe),
        purpose=draw(maybe),
        model=None if name is None else ModelRef(name, "1.0", "a" * 64),
        content=draw(st.none() | subjects.map(lambda s: {"subject": s, "note": "Other words"})),
    )


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """Any filters together, mostly few."""
    exact = {name: st.sampled_from(WORDS) for name in EXACT} | {
        "action": st.sampled_from(["answer.complete", "record.read", "nothing"]),
        "outcome": st.sampled_from([str(outcome) for outcome in Outcome]),
        "subject": st.just(SUBJECT),
        "text": st.sampled_from([*WORDS, "SR_", "other w", "words", "pat_", "2026-01", "b"]),
        "since": moments,
        "until": moments,
    }
    names = draw(st.lists(st.sampled_from(sorted(exact)), max_size=3, unique=True))
    filters: dict[str, Any] = {name: draw(exact[name]) for name in names}
    return Query(**filters, limit=draw(st.integers(1, 5)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_search_finds_what_a_reader_would(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Pages, put together, are what reading every entry finds, whatever part is indexed."""
    stated = data.draw(st.lists(st.tuples(events(), times), max_size=40))
    clock = START
    record = Record(tmp_path_factory.mktemp("any"))
    for stating, jump in stated:
        clock += jump if 0 < clock + jump < 20_000 * DAY_S * 10 else 0
        record.add((stating, clock))
    index = record.index()
    covered = index.catch_up(data.draw(st.integers(0, record.size)))
    for query in data.draw(st.lists(queries(), min_size=1, max_size=4)):
        expected = matches(record.rows(), query)
        with index._reader() as connection:
            for forward in (False, True):
                seen: list[int] = []
                low, high = 0, record.size
                while True:
                    part = search.find(
                        connection,
                        query,
                        Span(low, high, covered),
                        query.limit,
                        forward=forward,
                        window=data.draw(st.integers(1, 20)),
                    )
                    seen += [seq for seq, _ in part.rows]
                    if part.rest is None:
                        break
                    low, high = (part.rest, high) if forward else (low, part.rest)
                assert seen == (expected if forward else expected[::-1])
    index.close()
    record.close()


def test_jumping_clock_hides_nothing(tmp_path: Path) -> None:
    """Over many time blocks with a clock set back and forth, a time filter finds all there is."""
    record = Record(tmp_path)
    index = record.index()
    quiet = event(content=None, model=None)
    for days in (0, 3_650, -3_650, 1, 0, -3_650, 3_650, 0):
        start = START + days * DAY_S
        record.add(*[(quiet, start + number) for number in range(BLOCK * 3 // 8)])
        index.catch_up(record.size)
    block = [json.loads(data)["t"] for _, data in record.rows()[:BLOCK]]
    for since, until in (
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T10:00:00Z", "2026-02-01T09:00:10Z"),
        (None, "2020-01-01"),
        ("2030-01-01", None),
        ("2028-01-01", "2030-01-01"),
        (max(block), None),
        (None, min(block)),
    ):
        query = Query(since=since, until=until)
        expected = matches(record.rows(), query)
        assert [seq for seq, _ in index.entries(query, record.size)] == expected
        rows, _ = index.newest(query, record.size)
        assert [seq for seq, _ in rows] == expected[::-1][:100]
    index.close()
    record.close()


@pytest.mark.parametrize("seed", range(3))
def test_runs_of_blocks_are_those_that_fit(tmp_path: Path, seed: int) -> None:
    """Over many eras, exactly the blocks with a wanted time are walked, in runs, both ways."""
    chance = random.Random(seed)  # noqa: S311 - the same data each time
    record = Record(tmp_path)
    connection = index_file.create(tmp_path / "audit.index.db", record.path)
    per_era, count = ERA // BLOCK, 40 * ERA // BLOCK
    times = [START]
    for _ in range(count - 1):
        times.append(
            times[-1] + (chance.choice((1, 1, -9)) * DAY_S if chance.random() < 0.1 else 60)
        )
    spans = [(rfc3339(t), rfc3339(t + 30)) for t in times]
    for number, span in enumerate(spans):
        connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", (number, *span))
    for era in range(count // per_era):
        part = spans[era * per_era : (era + 1) * per_era]
        ends = min(first for first, _ in part), max(last for _, last in part)
        connection.execute("INSERT INTO eras VALUES (?, ?, ?)", (era, *ends))
    for _ in range(40):
        since, until = sorted(rfc3339(chance.choice(times) + 15) for _ in range(2))
        low = chance.randrange(count * BLOCK)
        high = chance.randrange(low, count * BLOCK) + 1
        fits = {
            seq // BLOCK
            for seq in range(low // BLOCK * BLOCK, high, BLOCK)
            if spans[seq // BLOCK][1] >= since and spans[seq // BLOCK][0] < until
        }
        for forward in (False, True):
            query = Query(since=since, until=until)
            walk = search._Walk(connection, query, (low, high), forward=forward, window=None)
            runs = list(walk._pieces())
            walked = [n for a, b in runs for n in range(a // BLOCK, (b - 1) // BLOCK + 1)]
            assert sorted(walked) == sorted(fits)
            assert runs == sorted(runs, reverse=not forward)
            assert all(low <= a < b <= high for a, b in runs)
    connection.close()
    record.close()
