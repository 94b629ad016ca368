"""Finding entries: exact filters, text, time, and pages that neither repeat nor skip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.audit.actions import Outcome
from appliance.audit.entry import Agent, ModelRef
from appliance.audit.log import Log
from appliance.audit.query import Query, moment
from appliance.clock import System
from appliance.errors import BadInputError
from tests.unit.audit import samples

DAY_S = 86_400
START = 1_769_850_000  # 2026-01-31T09:00:00Z


class Daily(System):
    """A clock that moves on by a day with each event."""

    def __init__(self) -> None:
        self._days = -1

    def now(self) -> float:
        self._days += 1
        return START + self._days * DAY_S


EVENTS = (
    samples.event(0),
    samples.event(1, outcome=Outcome.REFUSED, action="answer.refuse", content=None),
    samples.event(2, agent=Agent("usr_anna", "auditor", "password"), action="record.read"),
    samples.event(3, source="10.9.9.9", purpose="education"),
    samples.event(4, model=ModelRef("other", "2.0", "d" * 64)),
    samples.event(5, entity="50%_x", content={"note": {"file": "Export.CSV"}}),
    samples.event(6, model=None, purpose=None, entity=None),
)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """A record of seven events on seven days."""
    path = samples.make(tmp_path_factory.mktemp("search"))
    log = Log(path, Daily(), samples.BOOT, samples.SETTINGS)
    for event in EVENTS:
        log.append(event)
    yield log
    log.close()


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
        ({"role": "clinician", "model": "other"}, [4]),
        ({"since": "2026-02-04"}, [6, 5, 4]),
        ({"until": "2026-02-01"}, [1, 0]),
        ({"since": "2026-02-01T09:00:00Z", "until": "2026-02-02T09:00:00Z"}, [1]),
        ({"since": "2026-02-01T10:00:00+01:00", "until": "2026-02-01"}, [1]),
        ({"text": "ANNA"}, [2]),
        ({"text": "msg_0000000"}, [4, 3, 2, 1, 0]),
        ({"text": "50%_"}, [5]),
        ({"text": "%"}, [5]),
        ({"text": "export.csv"}, [5]),
        ({"text": "dddd"}, [4]),
        ({"text": "latency_ms"}, []),
        ({"text": "x' OR 1 --"}, []),
        ({"before_seq": 2}, [1, 0]),
    ],
)
def test_filter_finds_exactly(searched: Log, filters: dict[str, Any], expected: list[int]) -> None:
    """Each filter finds the entries that fit it and no other, newest first."""
    assert [entry["seq"] for entry in searched.search(Query(**filters)).entries] == expected


def test_pages_cover_everything_once(searched: Log) -> None:
    """Following `next_before` gives every entry once; the last page says that it is the last."""
    found: list[int] = []
    before: int | None = None
    for _ in range(3):
        page = searched.search(Query(limit=3, before_seq=before))
        found += [entry["seq"] for entry in page.entries]
        before = page.next_before
    assert found == [6, 5, 4, 3, 2, 1, 0]
    assert before is None


def test_full_last_page_has_no_next(searched: Log) -> None:
    """A page that ends exactly with the record has no page after it."""
    assert searched.search(Query(limit=7)).next_before is None


def test_found_entry_carries_its_leaf_hash(searched: Log) -> None:
    """A found entry has all its fields, and the leaf hash that a person can compare."""
    entry = searched.search(Query(entity="msg_00000001")).entries[0]
    assert entry["leaf"] == samples.rows(searched.path)[1][2].hex()
    assert entry["policy"] == "model-active-and-allowed"


def test_filters_use_an_index(searched: Log) -> None:
    """A filter on a rare value does not read the whole record."""
    for name in ("user", "action", "outcome", "role", "source", "entity", "model", "purpose"):
        with searched._readers.one() as connection:
            plan = connection.execute(
                f"EXPLAIN QUERY PLAN SELECT seq FROM entries WHERE 1 AND {name} = ? "  # noqa: S608 - fixed names
                "ORDER BY seq DESC LIMIT 10",
                ["x"],
            ).fetchall()
        assert f"entries_by_{name}" in plan[0][3]
        assert len(plan) == 1, "sorting would read every match"


@pytest.mark.parametrize(
    "filters",
    [
        {"limit": 0},
        {"limit": 1_001},
        {"limit": True},
        {"before_seq": -1},
        {"before_seq": "1"},
        {"user": 7},
        {"text": "x" * 1_025},
        {"text": "\ud800"},
        {"since": "yesterday"},
        {"until": "2026-13-01"},
        {"since": "0001-01-01T00:00:00+23:59"},
        {"nonsense": 1},
    ],
)
def test_bad_filter_is_refused(filters: dict[str, Any]) -> None:
    """A filter that cannot be understood is refused, not left out."""
    with pytest.raises(BadInputError):
        Query.from_json(filters)


def test_query_survives_json() -> None:
    """A query read back from its JSON is the same query."""
    query = Query(user="usr_1", since="2026-02-01", until="2026-02-03", before_seq=7, limit=10)
    assert Query.from_json(query.to_json()) == query


def test_date_as_end_means_the_whole_day() -> None:
    """`until` with a bare date includes that day."""
    assert moment("2026-01-31", end=True) == "2026-02-01T00:00:00.000Z"


def test_filters_do_not_depend_on_the_order_of_time(tmp_path: Path) -> None:
    """With a clock that was set back, pages still go by number."""

    class Back(Daily):
        def now(self) -> float:
            return 2 * START - super().now()

    log = Log(samples.make(tmp_path), Back(), samples.BOOT, samples.SETTINGS)
    for number in range(4):
        log.append(samples.event(number))
    found = log.search(Query(since="2026-01-29", until="2026-01-30")).entries
    assert [entry["seq"] for entry in found] == [2, 1]
    log.close()
