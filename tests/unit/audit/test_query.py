"""What can be asked of the record: filters are understood or refused, never left out."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.audit.query import Query, moment
from appliance.errors import BadInputError
from tests.unit.audit.index_samples import SUBJECT


@pytest.mark.parametrize(
    "filters",
    [
        {"limit": 0},
        {"limit": 1_001},
        {"limit": True},
        {"before_seq": -1},
        {"before_seq": "1"},
        {"user": 7},
        {"subject": "4711"},
        {"subject": SUBJECT.upper()},
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


def test_number_of_a_patient_is_not_repeated() -> None:
    """Who types a patient's own number for a pseudonym does not find it in a log."""
    with pytest.raises(BadInputError) as caught:
        Query(subject="4711")
    assert "4711" not in caught.value.message


def test_query_survives_json() -> None:
    """A query read back from its JSON is the same query."""
    query = Query(
        user="usr_1",
        subject=SUBJECT,
        since="2026-02-01",
        until="2026-02-03",
        before_seq=7,
        limit=10,
    )
    assert Query.from_json(query.to_json()) == query


def test_date_as_end_means_the_whole_day() -> None:
    """`until` with a bare date includes that day."""
    assert moment("2026-01-31", end=True) == "2026-02-01T00:00:00.000Z"
