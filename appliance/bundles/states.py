"""The life of a model: which state may follow which. Pure.

Only `approved` may become `active`, and only a model that was tried on this machine
(`evaluated`) may become `approved`: so a file that was damaged and imported anew has to be tried
and approved anew.
Not here: who may cause a change (operations).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from appliance.errors import ConflictError


class State(StrEnum):
    """Where a model stands between the stick and the ward."""

    IMPORTED = "imported"
    EVALUATED = "evaluated"
    APPROVED = "approved"
    ACTIVE = "active"
    RETIRED = "retired"
    QUARANTINED = "quarantined"


NEXT: Mapping[State, frozenset[State]] = {
    State.IMPORTED: frozenset({State.EVALUATED, State.RETIRED, State.QUARANTINED}),
    # To itself: an evaluation may be run again, and the newest counts.
    State.EVALUATED: frozenset({State.EVALUATED, State.APPROVED, State.RETIRED, State.QUARANTINED}),
    State.APPROVED: frozenset({State.ACTIVE, State.RETIRED, State.QUARANTINED}),
    State.ACTIVE: frozenset({State.APPROVED, State.QUARANTINED}),
    State.RETIRED: frozenset({State.QUARANTINED}),
    State.QUARANTINED: frozenset({State.IMPORTED}),
}


def allowed(old: State, new: State) -> bool:
    """Say whether a model may go from `old` to `new` in one step."""
    return new in NEXT[old]


def require(old: State, new: State, what: str) -> None:
    """Raise ConflictError unless `what` may go from `old` to `new`."""
    if not allowed(old, new):
        raise ConflictError(f"{what} is {old}; it cannot become {new}, and was left as it is")
