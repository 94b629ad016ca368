"""What an engine says of itself and of vectors, read from bodies that may be anything."""

from __future__ import annotations

import math

import pytest

from appliance.errors import (
    ApplianceError,
    BadInputError,
    ConflictError,
    ContextOverflowError,
    EngineDownError,
    EngineUnavailableError,
    TooLargeError,
)
from appliance.inference.connection import error_of
from appliance.inference.embeddings import embeddings_in
from appliance.inference.engine import EngineIncident, EngineSeat
from appliance.inference.openai_engine import status_in

INCIDENT = {"id": "i1", "kind": "restarted", "digest": "d", "reason": "it died", "at": 5}


def test_everything_that_is_told_is_read() -> None:
    """Counts, processes and incidents come through with their types."""
    seat = {"name": "a", "version": "1", "digest": "d", "role": "active", "state": "ready"}
    body = {"state": "ready", "digest": "d", "slots": 8, "steps": 7, "running": 2, "waiting": 1}
    found = status_in({**body, "seats": [seat, 5], "incidents": [INCIDENT]})
    assert (found.slots, found.steps, found.running, found.waiting) == (8, 7, 2, 1)
    assert found.seats == (EngineSeat("a", "1", "d", "active", "ready"),)
    assert found.incidents == (EngineIncident("i1", "restarted", "d", "it died", 5.0),)


@pytest.mark.parametrize(
    "odd",
    [5, {}, {**INCIDENT, "kind": "x"}, {**INCIDENT, "at": "now"}, {**INCIDENT, "id": 5}],
)
def test_an_incident_that_is_not_told_in_full_is_left_out(odd: object) -> None:
    """Only what can be recorded is passed on."""
    assert status_in({"state": "ready", "incidents": [odd]}).incidents == ()


@pytest.mark.parametrize("body", [{}, {"state": "fine"}, {"state": ["ready"]}, {"state": None}])
def test_a_state_that_makes_no_sense_is_down(body: dict[str, object]) -> None:
    """An engine that cannot say how it is is not asked."""
    assert status_in(body).state == "down"


def test_vectors_come_in_order_at_length_one() -> None:
    """Order is by index, and every vector is brought to length 1."""
    data = [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]
    found = embeddings_in({"data": data, "usage": {"prompt_tokens": 6}}, 2)
    assert found.vectors == ((0.6, 0.8), (0.0, 1.0))
    assert found.tokens == 6


@pytest.mark.parametrize(
    "data",
    [
        [],
        5,
        [5],
        [{"embedding": []}],
        [{"embedding": [0.0]}],
        [{"embedding": [math.nan]}],
        [{"embedding": [math.inf]}],
        [{"embedding": ["x"]}],
        [{"embedding": 5}],
        [{"embedding": [1.0]}, {"embedding": [1.0]}],
    ],
)
def test_vectors_that_make_no_sense_are_an_error(data: object) -> None:
    """Nothing that is no direction is passed on as one."""
    with pytest.raises(EngineUnavailableError):
        embeddings_in({"data": data}, 1)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"error": {"type": "exceed_context_size_error"}}', ContextOverflowError),
        (400, b'{"message": "maximum context length is 5", "code": 400}', ContextOverflowError),
        (400, b'{"error": "the input length exceeds the context length"}', ContextOverflowError),
        (400, b'{"error": "no"}', BadInputError),
        (413, b"", TooLargeError),
        (409, b'{"error": {"code": "conflict"}}', ConflictError),
        (503, b'{"error": {"message": "Loading model"}}', EngineDownError),
        (404, b"not json", EngineDownError),
        (200, b'{"error": {"message": "boom"}}', EngineUnavailableError),
    ],
)
def test_the_words_of_servers_have_one_meaning(
    status: int, body: bytes, expected: type[ApplianceError]
) -> None:
    """Whichever server says it, one failure is one class."""
    assert type(error_of(status, body)) is expected
