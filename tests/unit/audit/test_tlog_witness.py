"""What a log and a witness say to each other: written, read, and read when it is wrong."""

from __future__ import annotations

import base64

import pytest

from appliance.audit.tlog_witness import (
    ADD_CHECKPOINT,
    ADD_KEY,
    MAX_CHECKPOINT_BODY,
    AddCheckpoint,
    Step,
    encode_steps,
    parse_size,
    parse_steps,
)
from appliance.audit.witness import (
    Refused,
    WitnessState,
    consider_checkpoint,
)
from appliance.errors import (
    BadInputError,
)
from tests.simulators.tiny_log import TinyLog, signer

FRESH = WitnessState(signer(0).key)


def refused(state: WitnessState, body: bytes) -> tuple[int, bool]:
    """Return status and suspicion of a request that has to be refused."""
    decision = consider_checkpoint(state, body)
    assert isinstance(decision, Refused)
    assert decision.why
    return decision.status, decision.suspicious


def test_a_body_is_written_as_the_specification_has_it() -> None:
    """`old N`, one hash to a line, an empty line, the note."""
    log = TinyLog().grow(4)
    body = log.grow(3).ask(4)
    head, note = body.decode().split("\n\n", 1)
    first, *proof = head.split("\n")
    assert first == "old 4"
    assert [len(base64.b64decode(line)) for line in proof] == [32]
    assert note == log.signed().note()
    assert AddCheckpoint.parse(body).body() == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 00\n\n",
        b"old -1\n\n",
        b"old 1e3\n\n",
        b"new 0\n\n",
        b"old 0\nAAAA\n\n",
        b"old 0\n" + b"%\n" * 3 + b"\n",
        b"old 0\n\nnot a note",
        b"old 0\n" + base64.b64encode(bytes(32)) + b"x\n\n",
        b"old 99999999999999999999\n\n",
        b"\xff\xfe\n\n",
        b"old 0\n\n" + b"x" * MAX_CHECKPOINT_BODY,
    ],
)
def test_what_is_no_request_is_400(body: bytes) -> None:
    """Whatever is sent, the answer is a refusal and no fault."""
    note = TinyLog().grow(1).signed().note().encode()
    assert refused(FRESH, body) == (400, False)
    if body.endswith(b"\n\n"):
        assert refused(FRESH, body + note)[0] == 400


def test_a_proof_has_at_most_63_lines() -> None:
    """As the specification has it."""
    request = AddCheckpoint(0, (bytes(32),) * 64, TinyLog().grow(1).signed())
    assert refused(FRESH, request.body()) == (400, False)


def test_a_request_file_is_read_as_it_was_written() -> None:
    """Every body in its order, to the last byte."""
    steps = (Step(ADD_CHECKPOINT, b"one\n\n"), Step(ADD_KEY, b"two"))
    assert parse_steps(encode_steps(steps)) == steps


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"appliance-witness-request/v1\n",
        b"appliance-witness-request/v1\nadd-checkpoint 5\nfour",
        b"appliance-witness-request/v1\nadd-checkpoint 0\n",
        b"appliance-witness-request/v1\nadd-checkpoint -1\n",
        b"appliance-witness-request/v1\nadd-checkpoint 999999999\n",
        b"appliance-witness-request/v1\nremove-key 3\nabc",
        b"appliance-witness-request/v1\nadd-key 3\nabcx",
        b"appliance-witness-request/v1\nadd-key \xff\nabc",
    ],
)
def test_a_damaged_request_file_is_bad_input(data: bytes) -> None:
    """Nothing of it is tried."""
    with pytest.raises(BadInputError):
        parse_steps(data)


@pytest.mark.parametrize("text", ["", "-1", "01", "x", "1\n\n", "\uff19"])
def test_a_size_is_plain_digits(text: str) -> None:
    """As the witness has to send it."""
    with pytest.raises(BadInputError):
        parse_size(text)


@pytest.mark.parametrize("value", [{}, {"v": 1}, {**FRESH.to_json(), "key": None}])
def test_a_state_that_cannot_be_read_is_bad_input(value: dict[str, object]) -> None:
    """A witness that does not know how far it saw the log must not guess."""
    with pytest.raises(BadInputError):
        WitnessState.from_json(value)
