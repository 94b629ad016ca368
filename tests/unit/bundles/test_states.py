"""Which state of a model may follow which."""

from __future__ import annotations

import itertools

import pytest

from appliance.bundles.states import NEXT, State, allowed, require
from appliance.errors import ConflictError


def test_only_an_approved_model_becomes_active() -> None:
    """No state but `approved` leads to `active`."""
    assert [state for state in State if allowed(state, State.ACTIVE)] == [State.APPROVED]


def test_approval_needs_an_evaluation_or_former_use() -> None:
    """A model becomes approved from `evaluated`, or when another takes its place."""
    found = {state for state in State if allowed(state, State.APPROVED)}
    assert found == {State.EVALUATED, State.ACTIVE}


def test_evaluation_needs_an_import() -> None:
    """A model is evaluated after its import, and may be again before it is approved."""
    found = {state for state in State if allowed(state, State.EVALUATED)}
    assert found == {State.IMPORTED, State.EVALUATED}


def test_quarantine_is_left_by_an_import_alone() -> None:
    """A quarantined model returns only as imported, and every other state leads there."""
    assert NEXT[State.QUARANTINED] == {State.IMPORTED}
    sources = {state for state in State if allowed(state, State.QUARANTINED)}
    assert sources == set(State) - {State.QUARANTINED}


def test_every_state_is_in_the_table() -> None:
    """The table says something about every state, and only an evaluation may be repeated."""
    assert set(NEXT) == set(State)
    assert {state for state in State if allowed(state, state)} == {State.EVALUATED}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(State, State)))
def test_refusal_is_the_tables(old: State, new: State) -> None:
    """`require` raises exactly where the table has no step."""
    if allowed(old, new):
        require(old, new, "model m")
    else:
        with pytest.raises(ConflictError, match="was left as it is"):
            require(old, new, "model m")
