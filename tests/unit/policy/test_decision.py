"""The one policy function: deny by default, and one rule's name for each reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.decision import ModelFacts, decide

PURPOSES = ("treatment", "test")
MODEL = ModelFacts("demo", "1", "ab" * 32, "active", frozenset({"clinician"}), demo=True)


def test_an_active_model_released_for_the_role_is_allowed() -> None:
    """The only way to a yes."""
    decision = decide("clinician", MODEL, "treatment", PURPOSES)
    assert (decision.allowed, decision.rule) == (True, "model-active-and-allowed")


@pytest.mark.parametrize(
    ("role", "model", "purpose", "rule"),
    [
        ("clinician", None, "treatment", "model-unknown"),
        ("steward", MODEL, "treatment", "model-not-for-role"),
        ("clinician", replace(MODEL, roles=frozenset()), "treatment", "model-not-for-role"),
        ("clinician", replace(MODEL, state="approved"), "treatment", "model-not-active"),
        ("clinician", replace(MODEL, state="quarantined"), "treatment", "model-not-active"),
        ("clinician", MODEL, "curiosity", "purpose-unknown"),
        ("clinician", MODEL, "", "purpose-unknown"),
    ],
)
def test_everything_else_is_refused_by_name(
    role: str, model: ModelFacts | None, purpose: str, rule: str
) -> None:
    """The record holds the rule, so that an auditor can count refusals by cause."""
    decision = decide(role, model, purpose, PURPOSES)
    assert (decision.allowed, decision.rule) == (False, rule)
    assert decision.reason


@given(
    role=st.sampled_from(["clinician", "auditor", "", "Clinician"]),
    state=st.sampled_from(["active", "imported", "approved", "retired", "quarantined", "ACTIVE"]),
    roles=st.frozensets(st.sampled_from(["clinician", "auditor", "approver"])),
    purpose=st.sampled_from(["treatment", "test", "Treatment", "other"]),
)
def test_a_yes_means_that_every_condition_holds(
    role: str, state: str, roles: frozenset[str], purpose: str
) -> None:
    """No combination slips through."""
    model = replace(MODEL, state=state, roles=roles)
    holds = state == "active" and role in roles and purpose in PURPOSES
    assert decide(role, model, purpose, PURPOSES).allowed is holds
