"""Whose content: as a person says it, as the store knows it, as the record states it.

A patient's reference goes no further than here; what comes out is a pseudonym.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from appliance.assembly import Appliance
from appliance.conversations.retention import CONVERSATION, PATIENT, USER, Scope, stated
from appliance.conversations.subjects.store import folded
from appliance.errors import BadInputError, NotFoundError
from appliance.operations.recording import identifier

LEAST = 4


@dataclass(frozen=True)
class Wanted:
    """Whose content, as a person says it: a reference, an id, a sign-in name, or nothing (all)."""

    kind: str
    text: str = field(default="", repr=False)


def scope_of(appliance: Appliance, wanted: Wanted, *, make: bool = False) -> Scope:
    """Return the scope in ids; raise NotFoundError when there is nobody and nothing like it.

    `make` gives a patient a pseudonym who has none yet.
    """
    if wanted.kind == PATIENT:
        subjects = appliance.conversations.subjects
        subject = subjects.ensure(wanted.text) if make else subjects.find(wanted.text)
        if subject is None:
            raise NotFoundError(
                "nothing is kept under this patient reference",
                hint="compare it with your patient system; it may have been erased before",
            )
        return Scope(PATIENT, subject)
    if wanted.kind == USER:
        person = appliance.people.by_name(wanted.text)
        if person is None:
            raise NotFoundError("there is no such account")
        return Scope(USER, person.id)
    if wanted.kind == CONVERSATION:
        if identifier(wanted.text) is None:
            raise NotFoundError("there is no such conversation")
        return Scope(CONVERSATION, wanted.text)
    return Scope(wanted.kind)


def worded(words: str, what: str, wanted: Wanted) -> str:
    """Return a reason fit for the record; BadInputError also when it quotes the reference."""
    checked = stated(words, what)
    reference = folded(wanted.text)
    # A shorter one would be found in many a law.
    if wanted.kind == PATIENT and len(reference) >= LEAST and reference in folded(checked):
        raise BadInputError(
            f"{what} holds the patient's reference, which must not enter the record",
            hint="name the law and the case instead",
        )
    return checked


def facts_of(scope: Scope) -> dict[str, Any]:
    """Return what the record states of a scope."""
    names = {PATIENT: "subject", USER: "person", CONVERSATION: "conversation"}
    about = {names[scope.kind]: scope.target} if scope.kind in names else {}
    return {"scope": scope.kind, **about}
