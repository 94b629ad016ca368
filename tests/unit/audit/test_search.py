"""Finding entries: exact filters, text, time, and pages that neither repeat nor skip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.audit import columns, index_file, search
from appliance.audit.actions import Outcome
from appliance.audit.entry import Agent, ModelRef
from appliance.audit.index import Index
from appliance.audit.query import EXACT, Query
from appliance.audit.search import Span
from tests.unit.audit.index_samples import DAY_S, START, SUBJECT, Record, matches
from tests.unit.audit.samples import event

EVENTS = (
    event(0),
    event(1, outcome=Outcome.REFUSED, action="answer.refuse", content=None),
    event(2, agent=Agent("usr_anna", "auditor", "password"), action="record.read"),
    event(3, source="10.9.9.9", purpose="education"),
    event(4, model=ModelRef("other", "2.0", "d" * 64), content={"subject": SUBJECT}),
    event(5, entity="50%_x", content={"note": {"file": "Export.CSV"}}),
    event(6, model=None, purpose=None, entity=None),
)


@pytest.fixture(scope="module", params=[True, False], ids=["indexed", "not indexed"])
def searched(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[tuple[Record, Index]]:
    """Seven events on seven days, with an index that covers them, and with none at all."""
    record = Record(
        tmp_path_factory.mktemp("search"),
        [(event, START + day * DAY_S) for day, event in enumerate(EVENTS)],
    )
    if not request.param:
        # A folder cannot be made into a file, so this index stays empty.
        record.path.with_name("audit.index.db").mkdir()
    index = record.index()
    index.newest(Query(), record.size)
    assert index.size == (7 if request.param else 0)
    yield record, index
    index.close()
    record.close()


def found(searched: tuple[Record, Index], query: Query) -> list[int]:
    record, index = searched
    rows, _ = index.newest(query, record.size)
    assert all(data == dict(record.rows())[seq] for seq, data in rows)
    return [seq for seq, _ in rows]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [6, 5, 4, 3, 2, 1, 0]),
        ({"user": "usr_anna"}, [2]),
        ({"user": "USR_ANNA"}, []),
        ({"role": "auditor"}, [2]),
        ({"action": "answer.refuse"}, [1]),
        ({"outcome": "refused"}, [1]),
        ({"source": "10.9.9.9"}, [3]),
        ({"purpose": "education"}, [3]),
        ({"model": "other"}, [4]),
        ({"entity": "msg_00000001"}, [1]),
        ({"subject": SUBJECT}, [4]),
        ({"subject": SUBJECT[:-1] + "0"}, []),
        ({"role": "clinician", "model": "other"}, [4]),
        ({"role": "auditor", "model": "other"}, []),
        ({"user": "treatment"}, []),
        ({"since": "2026-02-04"}, [6, 5, 4]),
        ({"until": "2026-02-01"}, [1, 0]),
        ({"since": "2026-02-01T09:00:00Z", "until": "2026-02-02T09:00:00Z"}, [1]),
        ({"since": "2026-02-01T10:00:00+01:00", "until": "2026-02-01"}, [1]),
        ({"since": "2027-01-01"}, []),
        ({"until": "2025-01-01"}, []),
        ({"text": "ANNA"}, [2]),
        ({"text": "msg_0000000"}, [4, 3, 2, 1, 0]),
        ({"text": "msg_0000000", "purpose": "education"}, [3]),
        ({"text": "50%_"}, [5]),
        ({"text": "%"}, [5]),
        ({"text": "export.csv"}, [5]),
        ({"text": "dddd"}, [4]),
        ({"text": SUBJECT[4:]}, [4]),
        ({"text": "latency_ms"}, []),
        ({"text": "x' OR 1 --"}, []),
        ({"text": 'success""clin'}, []),
        ({"before_seq": 2}, [1, 0]),
    ],
)
def test_filter_finds_exactly(
    searched: tuple[Record, Index], filters: dict[str, Any], expected: list[int]
) -> None:
    """Each filter finds the entries that fit it and no other, newest first, index or not."""
    assert found(searched, Query(**filters)) == expected
    assert matches(searched[0].rows(), Query(**filters)) == expected[::-1]


def test_pages_cover_everything_once(searched: tuple[Record, Index]) -> None:
    """Following the next page gives every entry once; the last page says that it is the last."""
    seen: list[int] = []
    before: int | None = None
    for _ in range(3):
        rows, before = searched[1].newest(Query(limit=3, before_seq=before), 7)
        seen += [seq for seq, _ in rows]
    assert seen == [6, 5, 4, 3, 2, 1, 0]
    assert before is None


def test_full_last_page_has_no_next(searched: tuple[Record, Index]) -> None:
    """A page that ends exactly with the record has no page after it."""
    assert searched[1].newest(Query(limit=7), 7)[1] is None


def test_file_goes_from_the_oldest(searched: tuple[Record, Index]) -> None:
    """For a file, entries come oldest first and without a limit."""
    rows = searched[1].entries(Query(role="clinician", limit=1), 7)
    assert [seq for seq, _ in rows] == [0, 1, 3, 4, 5, 6]


def test_entries_after_the_asked_size_are_not_found(searched: tuple[Record, Index]) -> None:
    """An export that has begun does not see what comes after its beginning."""
    assert [seq for seq, _ in searched[1].newest(Query(), 5)[0]] == [4, 3, 2, 1, 0]


def test_filters_walk_along_an_index(tmp_path: Path) -> None:
    """A filter on a rare value neither reads the whole record nor sorts what it finds."""
    record = Record(tmp_path, [(EVENTS[0], START)])
    index = record.index()
    index.catch_up(1)
    with index._reader() as connection:
        for name in EXACT:
            plan = connection.execute(
                f"EXPLAIN QUERY PLAN SELECT seq FROM facts INDEXED BY facts_by_{name} "  # noqa: S608 - fixed names
                f"WHERE {name} = ? AND seq >= ? AND seq < ? ORDER BY seq DESC LIMIT 10",
                (1, 0, 9),
            ).fetchall()
            assert (
                f"COVERING INDEX facts_by_{name} ({name}=? AND rowid>? AND rowid<?)" in plan[0][3]
            )
            assert len(plan) == 1, "sorting would read every match"
    index.close()
    record.close()


def test_common_filters_that_never_meet_are_searched_piece_by_piece(tmp_path: Path) -> None:
    """Two filters that each fit half the record, and never together, cost a window per page."""
    record = Record(
        tmp_path,
        [
            (event(role := number % 2, agent=Agent("u", str(role), "m"), source=str(role)), START)
            for number in range(3_000)
        ],
    )
    index = record.index()
    index.catch_up(record.size)
    query = Query(role="0", source="1")
    with index._reader() as connection:
        rest: int | None = record.size
        stops = []
        while rest is not None:
            part = search.find(connection, query, Span(0, rest, record.size), 10, window=700)
            assert part.rows == []
            stops.append(rest := part.rest)
    assert stops == [1_600, 200, None]
    index.close()
    record.close()


def test_rare_filter_leads(tmp_path: Path) -> None:
    """Beside a common filter, a rare one is found at once however far back, in one page."""
    many = [(event(agent=Agent("all", "clinician", "m"), source=None), START)] * 5_000
    record = Record(tmp_path, [(event(agent=Agent("all", "rare", "m")), START), *many])
    index = record.index()
    index.catch_up(record.size)
    with index._reader() as connection:
        span = Span(0, record.size, record.size)
        part = search.find(connection, Query(user="all", role="rare"), span, 10, window=600)
    assert [seq for seq, _ in part.rows] == [0]
    assert part.rest is None
    index.close()
    record.close()


def test_every_exact_filter_has_a_place_in_the_entry() -> None:
    """The filters of a query, the columns of the index and the paths into an entry are the same."""
    assert set(columns.PATHS) == set(EXACT)
    assert all(f"facts_by_{name}" in index_file.SCHEMA for name in EXACT)
