"""What a witness signs and what it refuses, decision by decision."""

from __future__ import annotations

import base64

import pytest

from appliance.audit.proof import TlogProof
from appliance.audit.tlog_witness import (
    AddCheckpoint,
)
from appliance.audit.witness import (
    Accepted,
    Refused,
    WitnessState,
    consider_checkpoint,
    consider_key,
)
from tests.simulators.tiny_log import TinyLog, signer

FRESH = WitnessState(signer(0).key)


def seen(log: TinyLog, state: WitnessState = FRESH, size: int | None = None) -> WitnessState:
    """Return the state after the witness accepted the log at `size`."""
    decision = consider_checkpoint(state, log.ask(state.size, size))
    assert isinstance(decision, Accepted), decision
    return decision.state


def refused(state: WitnessState, body: bytes) -> tuple[int, bool]:
    """Return status and suspicion of a request that has to be refused."""
    decision = consider_checkpoint(state, body)
    assert isinstance(decision, Refused)
    assert decision.why
    return decision.status, decision.suspicious


def refused_key(state: WitnessState, body: bytes) -> int:
    decision = consider_key(state, body)
    assert isinstance(decision, Refused)
    return decision.status


# --- growth


@pytest.mark.parametrize(("old", "new"), [(0, 1), (1, 2), (3, 7), (4, 8), (8, 8), (7, 300)])
def test_a_record_that_grew_is_accepted(old: int, new: int) -> None:
    """From any size to any later one, and again at the same size."""
    log = TinyLog().grow(old)
    state = seen(log) if old else FRESH
    after = seen(log.grow(new - old), state)
    assert (after.size, after.root) == (new, log.signed().checkpoint.root)


def test_the_first_checkpoint_needs_no_proof() -> None:
    """What came before the witness was there, it cannot vouch for."""
    assert seen(TinyLog().grow(1_000)).size == 1_000


@pytest.mark.parametrize("size", [3, 7, 12])
def test_a_fork_is_refused_and_is_suspicious(size: int) -> None:
    """Another history gets no signature, however long it is."""
    log = TinyLog().grow(5)
    fork = TinyLog().grow(5, "another").grow(20)
    state = seen(log.grow(2))
    status, suspicious = refused(state, fork.ask(state.size if size >= 7 else size, size))
    assert status == {3: 409, 7: 409, 12: 422}[size]
    assert suspicious


def test_a_record_that_was_set_back_is_suspicious() -> None:
    """The restored backup of yesterday is whole in itself, and smaller."""
    log = TinyLog().grow(9)
    state = seen(log)
    assert refused(state, log.ask(9, 5)) == (400, True)
    assert refused(state, log.ask(5, 5)) == (409, True)


def test_a_wrong_old_size_is_told_and_is_not_suspicious() -> None:
    """A log that lost its memory asks from 0 and learns the right size."""
    log = TinyLog().grow(9)
    assert refused(seen(log), log.grow(1).ask(0)) == (409, False)
    assert refused(seen(log), log.grow(1).ask(4)) == (409, False)


def test_a_proof_for_another_size_is_refused() -> None:
    """A proof that is too long, too short, or of other hashes leads nowhere."""
    log = TinyLog().grow(5)
    state = seen(log)
    right = AddCheckpoint.parse(log.grow(6).ask(5))
    for proof in (right.proof[:-1], (*right.proof, bytes(32)), (bytes(32),) * len(right.proof)):
        assert refused(state, AddCheckpoint(5, proof, right.signed).body()) == (422, True)


def test_a_first_request_with_a_proof_is_refused() -> None:
    """The specification wants none when the old size is zero."""
    body = AddCheckpoint(0, (bytes(32),), TinyLog().grow(3).signed()).body()
    assert refused(FRESH, body)[0] == 422


# --- signatures


def test_an_unknown_log_is_404() -> None:
    """A witness answers for the one log that it was made for."""
    other = signer(0, "elsewhere/audit/1").sign(
        TinyLog().grow(1).signed().checkpoint.__class__("elsewhere/audit/1", 1, bytes(32))
    )
    assert refused(FRESH, AddCheckpoint(0, (), other).body()) == (404, False)


def test_another_key_is_403() -> None:
    """A stranger with the right name but another key is not the log."""
    assert refused(FRESH, TinyLog().grow(3).ask(0, epoch=9)) == (403, False)


def test_a_changed_checkpoint_is_403() -> None:
    """One digit of the size, and the signature does not hold."""
    body = TinyLog().grow(3).ask(0).replace(b"\n3\n", b"\n4\n")
    assert refused(FRESH, body)[0] == 403


def test_signatures_of_others_are_ignored() -> None:
    """More lines under the note do no harm, as the specification has it."""
    log = TinyLog().grow(3)
    more = log.signed().with_signatures(log.signed(epoch=9).signatures)
    assert isinstance(consider_checkpoint(FRESH, AddCheckpoint(0, (), more).body()), Accepted)


# --- hand-overs


def followed(log: TinyLog, state: WitnessState, number: int) -> WitnessState:
    """Return the state after the closing checkpoint and the hand-over were accepted."""
    state = seen(log, state, log.closings[number])
    decision = consider_key(state, log.proof(number))
    assert isinstance(decision, Accepted), decision
    return decision.state


def test_the_witness_follows_the_log_from_key_to_key() -> None:
    """Three epochs on, the newest checkpoint under the newest key is accepted."""
    log, state = TinyLog(), FRESH
    for number in (1, 2, 3):
        log.grow(4).hand_over()
        state = followed(log, state, number)
    state = seen(log.grow(2), state)
    assert (state.key, state.epoch, state.size) == (signer(3).key, 3, 17)


def test_the_next_key_is_unknown_before_it_was_handed_over() -> None:
    """A checkpoint under it is 403, and the log sees that it has to show the hand-over."""
    log = TinyLog().grow(4).hand_over().grow(3)
    assert refused(seen(log, size=5), log.ask(5))[0] == 403


def test_the_old_key_is_worthless_after_the_hand_over() -> None:
    """Whoever kept yesterday's key gets no signature for a record that goes on from there."""
    log = TinyLog().grow(4).hand_over()
    state = followed(log, FRESH, 1)
    assert refused(state, log.grow(3).ask(5, epoch=0))[0] == 403


def test_the_closing_checkpoint_can_be_asked_for_again() -> None:
    """The answer may have been lost; it is signed by the key before, and stays so."""
    log = TinyLog().grow(4).hand_over()
    state = followed(log, FRESH, 1)
    assert seen(log, state, 5) == state


def test_a_key_that_is_known_is_accepted_again() -> None:
    """Sending a hand-over twice changes nothing."""
    log = TinyLog().grow(4).hand_over()
    state = followed(log, FRESH, 1)
    assert consider_key(state, log.proof(1)) == Accepted(state)


def test_a_hand_over_must_lie_under_the_cosigned_checkpoint() -> None:
    """Else a fork could smuggle in its key without ever showing its history."""
    log = TinyLog().grow(4).hand_over()
    assert refused_key(FRESH, log.proof(1)) == 409
    fork = TinyLog().grow(4, "another").hand_over()
    assert refused_key(seen(log, size=5), fork.proof(1)) == 409


def test_a_hand_over_by_another_key_is_403() -> None:
    """The key before vouches for the next one, and nobody else does."""
    log = TinyLog().grow(4).hand_over()
    assert refused_key(seen(log, size=5), log.proof(1, epoch=9)) == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "record.read"},
        {"log": "elsewhere/audit/1"},
        {"seq": 3},
        {"content": {"previous": str(signer(7).key)}},
        {"content": {"epoch": "1"}},
        {"content": {"key": "no key"}},
        {"content": {"key": 5}},
        {"content": {"key": str(signer(1, "elsewhere/audit/1").key)}},
    ],
)
def test_an_entry_that_hands_nothing_over_is_refused(changes: dict[str, object]) -> None:
    """It is in the record, under a good signature, and still not a hand-over."""
    log = TinyLog().grow(4).hand_over(**changes)
    assert refused_key(seen(log, size=5), log.proof(1)) == 422


def test_an_epoch_is_not_left_out() -> None:
    """The second hand-over is to 2, whatever the entry claims."""
    log = TinyLog().grow(4).hand_over()
    state = followed(log, FRESH, 1)
    log.grow(2).hand_over(content={"epoch": 3})
    assert refused_key(seen(log, state, 8), log.proof(2)) == 422


def test_a_hand_over_is_the_last_entry_of_its_checkpoint() -> None:
    """A later checkpoint under the old key would leave room for entries of nobody's epoch."""
    log = TinyLog().grow(4).hand_over().grow(2)
    state = consider_checkpoint(FRESH, log.ask(0, epoch=0))
    assert isinstance(state, Accepted)
    assert refused_key(state.state, log.proof(1, size=7)) == 422


def test_an_inclusion_proof_that_does_not_hold_is_422() -> None:
    """The entry must be in the tree that was cosigned."""
    log = TinyLog().grow(4).hand_over()
    lines = log.proof(1).split(b"\n")
    lines[3] = base64.b64encode(bytes(32))
    assert refused_key(seen(log, size=5), b"\n".join(lines)) == 422


DEEP = TlogProof(b"[" * 100_000, 0, (), TinyLog().grow(1).signed()).text().encode()


@pytest.mark.parametrize("body", [b"", b"\xff", b"c2sp.org/tlog-proof@v1\n", b"x" * 200_000, DEEP])
def test_what_is_no_proof_is_400(body: bytes) -> None:
    """Whatever is sent, the answer is a refusal and no fault."""
    assert refused_key(FRESH, body) == 400
