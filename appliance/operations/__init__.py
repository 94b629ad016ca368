"""One verb each: authorise the actor, record the intent, do it, record the outcome.

The only layer that changes state. Web routes and commands parse, call one operation, present.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.assembly import Appliance
from appliance.operations.asking import Asking
from appliance.operations.chats import Chats
from appliance.operations.models import Models
from appliance.operations.people import PeopleOperations
from appliance.operations.recording import Recorder
from appliance.operations.records import Records
from appliance.operations.refusals import Refusals
from appliance.operations.sessions import Sessions


@dataclass(frozen=True)
class Operations:
    """Every verb there is, over one set of parts."""

    appliance: Appliance
    asking: Asking
    sessions: Sessions
    people: PeopleOperations
    chats: Chats
    records: Records
    models: Models
    refusals: Refusals


def operations_for(appliance: Appliance) -> Operations:
    """Return the verbs over these parts."""
    refusals = Refusals(Recorder(appliance.ledger), appliance.clock)
    return Operations(
        appliance=appliance,
        asking=Asking(appliance),
        sessions=Sessions(appliance, refusals),
        people=PeopleOperations(appliance),
        chats=Chats(appliance),
        records=Records(appliance, refusals),
        models=Models(appliance),
        refusals=refusals,
    )
