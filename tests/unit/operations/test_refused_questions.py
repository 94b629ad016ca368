"""Questions that are refused again and again: the first are recorded, the rest are counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.assembly import Appliance
from appliance.errors import ApplianceError, BadInputError, ForbiddenError, NotFoundError
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.operations import Operations, operations_for
from appliance.operations.embedding import EmbeddingWish
from appliance.operations.questions import Question
from appliance.operations.refusals import MOST_PER_MINUTE
from tests.simulators.manual_clock import ManualClock
from tests.unit.operations.asked import Entries
from tests.unit.operations.conftest import actor

MORE = 7


def refused(verbs: Operations, who: Actor, kind: type[ApplianceError], **wanted: str) -> None:
    with pytest.raises(kind):
        verbs.asking.ask(who, Question.of("hello", **wanted))


def counts(entries: Entries, who: Actor) -> list[int]:
    """Return the numbers of refusals of this person that were not written out."""
    found = [entry["content"] for entry in entries(action="request.refuse")]
    return [content["count"] for content in found if content.get("person") == who.user]


def test_a_flood_of_refused_questions_is_counted_not_written_out(
    appliance: Appliance, entries: Entries
) -> None:
    """What one account is refused beyond the limit of a minute reaches the record as a number."""
    clock, who = ManualClock(), actor(Role.CLINICIAN, "flooding")
    verbs = operations_for(replace(appliance, clock=clock))
    for _ in range(MOST_PER_MINUTE):
        refused(verbs, who, NotFoundError, model="no-such-model")
    for _ in range(MORE):
        with pytest.raises(BadInputError):
            verbs.embedding.embed(who, EmbeddingWish(("",)))
    assert len(entries(user=who.user, limit=1000)) == MOST_PER_MINUTE
    assert counts(entries, who) == []
    clock.advance(61)
    verbs.refusals.flush()
    assert counts(entries, who) == [MORE]
    refused(verbs, who, NotFoundError, model="no-such-model")
    assert len(entries(user=who.user, action="answer.refuse", limit=1000)) == MOST_PER_MINUTE + 1


def test_what_was_counted_is_recorded_when_the_gateway_stops(
    appliance: Appliance, entries: Entries
) -> None:
    """No number is lost with the memory that holds it."""
    verbs, who = operations_for(appliance), actor(Role.AUDITOR, "flooding-at-the-end")
    for _ in range(MOST_PER_MINUTE + MORE):
        refused(verbs, who, ForbiddenError)
    verbs.refusals.flush(everything=True)
    assert counts(entries, who) == [MORE]


def test_the_flood_of_one_leaves_the_refusals_of_others_written_out(
    appliance: Appliance, entries: Entries
) -> None:
    """Nobody can hide a colleague's refused question behind their own."""
    verbs, who = operations_for(appliance), actor(Role.CLINICIAN, "flooding-beside")
    other = actor(Role.CLINICIAN, "beside-a-flood")
    for _ in range(MOST_PER_MINUTE + MORE):
        refused(verbs, who, BadInputError, purpose="curiosity")
    refused(verbs, other, BadInputError, purpose="curiosity")
    (entry,) = entries(user=other.user)
    assert (entry["action"], entry["content"]["code"]) == ("answer.refuse", "bad_input")
