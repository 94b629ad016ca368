"""Errors: each has a code of its own and says what to do next."""

from __future__ import annotations

import pytest

from appliance import errors
from appliance.errors import ApplianceError, LockedOutError, NotFoundError, SessionExpiredError


def kinds(base: type[ApplianceError] = ApplianceError) -> list[type[ApplianceError]]:
    """Return every error class of the package's own tree."""
    found = [kind for kind in base.__subclasses__() if kind.__module__ == errors.__name__]
    return [base, *(deeper for kind in found for deeper in kinds(kind))]


def test_every_code_is_used_once() -> None:
    """Scripts and the record tell failures apart by it."""
    codes = [kind.__dict__.get("code") for kind in kinds()]
    assert None not in codes, "each class states its own"
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", kinds())
def test_every_error_says_what_to_do_next(kind: type[ApplianceError]) -> None:
    """In lower case, without a full stop, as one more part of a line."""
    assert kind.hint
    assert not kind.hint.endswith(".")


def test_a_hint_can_be_made_for_the_occasion() -> None:
    """It then stands instead of the general one, for this error alone."""
    assert NotFoundError("x", hint="look there").hint == "look there"
    assert NotFoundError("x").hint == NotFoundError.hint


def test_errors_that_carry_a_fact_carry_it() -> None:
    """How long a lock-out lasts, and whose session has ended."""
    assert LockedOutError("x", retry_after=7).retry_after == 7
    assert SessionExpiredError("x", user_id="usr_1").user_id == "usr_1"
