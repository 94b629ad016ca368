"""Why the record is read: a purpose from the list, a case number that cannot be a name."""

from __future__ import annotations

import pytest

from appliance.config import Policy
from appliance.errors import BadInputError
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.operations import readings
from appliance.operations.readings import Reading

POLICY = Policy()


def actor(role: Role) -> Actor:
    return Actor("usr_1", "name", role, "password")


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.PRIVACY_OFFICER}))
def test_most_roles_need_not_say_why(role: Role) -> None:
    """Only a privacy officer must."""
    readings.check(POLICY, actor(role), Reading())
    assert not readings.must_say_why(actor(role))


def test_a_privacy_officer_must_say_why() -> None:
    """Without a purpose there is no reading; a case number alone is none."""
    officer = actor(Role.PRIVACY_OFFICER)
    assert readings.must_say_why(officer)
    for reading in (Reading(), Reading(case="K-1")):
        with pytest.raises(BadInputError):
            readings.check(POLICY, officer, reading)
    for purpose in POLICY.record_purposes:
        readings.check(POLICY, officer, Reading(purpose))


@pytest.mark.parametrize("purpose", ["", "Complaint", "curiosity", "complaint "])
def test_a_purpose_comes_from_the_list(purpose: str) -> None:
    """Anything else could be a text that the record would keep for ever."""
    with pytest.raises(BadInputError):
        readings.check(POLICY, actor(Role.AUDITOR), Reading(purpose))


@pytest.mark.parametrize("case", ["1", "K-17/2026", "2026-000123", "A/1-b", "9" * 32])
def test_a_case_number_is_letters_digits_dash_and_slash(case: str) -> None:
    """With at least one digit, as case numbers have."""
    readings.check(POLICY, actor(Role.AUDITOR), Reading("incident", case))
    assert Reading("incident", case).facts() == {"case": case}


@pytest.mark.parametrize(
    "case", ["", "Smith", "Mrs-Smith", "K 17", "K_17", "9" * 33, "17\n", "K-१७", "Müller1"]
)
def test_what_could_be_a_name_is_no_case_number(case: str) -> None:
    """No digit, a space, another script or too much of it: refused."""
    with pytest.raises(BadInputError):
        readings.check(POLICY, actor(Role.AUDITOR), Reading("incident", case))
