"""Why somebody reads the record: a purpose from the site's list, and a case number.

A privacy officer reads on behalf of others, so must say why each time; everybody else may. Both
are written into the record for ever, so neither is free text: a case number has a digit, which a
patient's name has not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from appliance.config import Policy
from appliance.errors import BadInputError
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role

CASE = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9/-]{1,32}")
MUST_SAY_WHY = frozenset({Role.PRIVACY_OFFICER})


@dataclass(frozen=True)
class Reading:
    """Why the record is read; both may be null where the role need not say."""

    purpose: str | None = None
    case: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return what the record holds of it beside the purpose."""
        return {} if self.case is None else {"case": self.case}


UNSTATED = Reading()


def must_say_why(actor: Actor) -> bool:
    """Return whether this actor reads only for a stated purpose; for showing a form."""
    return actor.role in MUST_SAY_WHY


def check(policy: Policy, actor: Actor, reading: Reading) -> None:
    """Return if the reading may go on; raise BadInputError when its reason is missing or bad."""
    choices = ", ".join(policy.record_purposes)
    if reading.purpose is None and must_say_why(actor):
        raise BadInputError(
            f"the role {actor.role} reads the record for a stated purpose only",
            hint=f"choose one of {choices}",
        )
    if reading.purpose is not None and reading.purpose not in policy.record_purposes:
        raise BadInputError("there is no such purpose of reading", hint=f"choose one of {choices}")
    check_case(reading.case)


def check_case(case: str | None) -> None:
    """Return if this is a case number, or none is given; raise BadInputError otherwise."""
    if case is not None and not CASE.fullmatch(case):
        raise BadInputError(
            "a case number has 1 to 32 letters, digits, - or /, and at least one digit",
            hint="write no name into it: the record keeps it for ever",
        )
