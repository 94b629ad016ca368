"""Which state of a model may follow which."""

from __future__ import annotations

import itertools

import pytest

from appliance.bundles.states import NEXT, State, allowed, require
from appliance.errors import ConflictError


def test_only_an_approved_model_becomes_active() -> None:
    """No state but `approved` leads to `active`."""
    assert [state for state in State if allowed(state, State.ACTIVE)] == [State.APPROVED]


def test_approval_needs_an_import_or_former_use() -> None:
    """A model becomes approved from `imported`, or when another takes its place."""
    found = {state for state in State if allowed(state, State.APPROVED)}
    assert found == {State.IMPORTED, State.ACTIVE}


def test_every_state_is_in_the_table() -> None:
    """The table says something about every state, and no state follows itself."""
    assert set(NEXT) == set(State)
    assert not any(allowed(state, state) for state in State)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(State, State)))
def test_refusal_is_the_tables(old: State, new: State) -> None:
    """`require` raises exactly where the table has no step."""
    if allowed(old, new):
        require(old, new, "model m")
    else:
        with pytest.raises(ConflictError, match="was left as it is"):
            require(old, new, "model m")
