"""What an engine tells of its restarts, and what of that is believed."""

from __future__ import annotations

import json

import pytest

from appliance.inference.engine import EngineIncident
from appliance.inference.incidents import KEPT, MAX_REASON, IncidentLog, parse

DIGEST = "d" * 64


def test_what_is_told_is_read_back() -> None:
    """The same incidents, oldest first, each under an id of its own."""
    log = IncidentLog(lambda: 7.0)
    log.restarted(DIGEST, "it stopped answering")
    log.restarted(DIGEST, "its process ended by signal 9")
    first, second = parse(json.loads(json.dumps(log.to_json())))
    assert first == EngineIncident(first.id, "restarted", DIGEST, "it stopped answering", 7.0)
    assert first.id != second.id
    assert second.reason == "its process ended by signal 9"


def test_only_the_latest_are_kept() -> None:
    """A manager that restarts a model all day keeps its memory, and its status, small."""
    log = IncidentLog()
    for number in range(KEPT + 10):
        log.restarted(DIGEST, str(number))
    assert [item["reason"] for item in log.to_json()] == [str(n) for n in range(10, KEPT + 10)]


def test_two_starts_never_use_one_id() -> None:
    """Else a restart would be taken for one that was recorded before."""
    one, other = IncidentLog(), IncidentLog()
    for log in (one, other):
        log.restarted(DIGEST, "x")
    assert one.to_json()[0]["id"] != other.to_json()[0]["id"]


@pytest.mark.parametrize(
    "value",
    [
        None, 1, "text", {}, [None], [{}], [{"id": 1, "kind": "restarted"}],
        [{"id": "a", "kind": "other", "digest": DIGEST, "reason": "", "at": 1.0}],
        [{"id": "a", "kind": "restarted", "digest": DIGEST, "reason": "", "at": "soon"}],
        [{"id": "a", "kind": "restarted", "digest": DIGEST, "reason": "", "at": float("inf")}],
    ],
)  # fmt: skip
def test_what_is_no_incident_is_left_out(value: object) -> None:
    """A status from another server may hold anything under that name."""
    assert parse(value) == ()


def test_a_reason_has_an_end() -> None:
    """It goes into the record for ever."""
    item = {"id": "a", "kind": "restarted", "digest": DIGEST, "reason": "x" * 9_999, "at": 1}
    assert len(parse([item])[0].reason) == MAX_REASON
