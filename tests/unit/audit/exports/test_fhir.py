"""FHIR: every event is a valid R4 AuditEvent, by two libraries made from HL7's definitions.

`fhirclient` has the elements of R4 (4.0.1), refuses others and checks types and cardinality;
`fhir.resources` has those of R4B, where AuditEvent is the same, and checks formats of values.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest
from fhir.resources.R4B.auditevent import AuditEvent as AuditEventR4B
from fhirclient.models.auditevent import AuditEvent as AuditEventR4
from hypothesis import given

from appliance.audit import exports
from appliance.audit.actions import ACTIONS, Outcome
from appliance.audit.chain import Stored
from appliance.audit.exports import fhir_codes
from tests.unit.audit.exports import entries

NUMBERS = ("seq", "v", "mono", "prompt_tokens", "answer_tokens", "latency_ms")
# The value sets that R4 binds with strength "required", and the systems BALP asks for.
REQUIRED_ACTIONS = set("CRUDE")
REQUIRED_OUTCOMES = {None, "0", "4", "8", "12"}
REQUIRED_NETWORK_TYPES = {"1", "2", "3", "4", "5"}
BASE = "https://appliance.example/fhir/"
CONTROLS = "".join(map(chr, [*range(32), 127]))
SPACES = "".join(filter(str.isspace, map(chr, range(33, 0x110000))))


def valid(stored: Stored) -> dict[str, Any]:
    """Return the exported resource after both libraries accepted it and kept all of it."""
    [line] = b"".join(exports.export("fhir", [stored])).splitlines()
    resource: dict[str, Any] = json.loads(line)
    assert AuditEventR4(resource, strict=True).as_json() == resource
    again = AuditEventR4B.model_validate_json(line).model_dump_json(exclude_none=True)
    assert json.loads(again).keys() == resource.keys()
    assert resource["action"] in REQUIRED_ACTIONS
    assert resource.get("outcome") in REQUIRED_OUTCOMES
    networks = {agent["network"]["type"] for agent in resource["agent"] if "network" in agent}
    assert networks <= REQUIRED_NETWORK_TYPES
    for entity in resource["entity"]:
        assert not ("name" in entity and "query" in entity)  # invariant sev-1
    return resource


def agents(resource: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the agents by the code of their type, as BALP tells them apart."""
    return {agent["type"]["coding"][0]["code"]: agent for agent in resource["agent"]}


def entities(resource: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the objects by the last word of their identifier's system."""
    found = {}
    for entity in resource["entity"]:
        found.setdefault(entity["what"]["identifier"]["system"].removeprefix(BASE), entity)
    return found


def rebuilt(resource: dict[str, Any]) -> dict[str, Any]:
    """Return the entry's fields as they come out of the resource."""
    who, things = agents(resource), entities(resource)
    user, log = who["IRCP"], resource["source"]["observer"]["identifier"]["value"]
    fields: dict[str, Any] = {
        item["type"]: item["valueString"] for item in things["entry"]["detail"]
    }
    fields |= {name: int(fields[name]) for name in NUMBERS if name in fields}
    fields |= {
        "t": resource["recorded"],
        "action": resource["subtype"][-1]["code"],
        "outcome": resource["outcomeDesc"],
        "log": log,
        "user": user["who"]["identifier"]["value"],
        "role": user["role"][0]["text"],
    }
    if "content" in fields:
        fields["content"] = json.loads(fields["content"])
    if "altId" in user:
        fields["credential"] = user["altId"]
    if "policy" in user:
        fields["policy"] = unquote(user["policy"][0].removeprefix(BASE + "policy/"))
    if "purposeOfEvent" in resource:
        fields["purpose"] = resource["purposeOfEvent"][0]["text"]
    if "110153" in who:
        fields["source"] = who["110153"]["network"]["address"]
    if "entity" in things:
        fields["entity"] = things["entity"]["what"]["identifier"]["value"]
    if "model-sha256" in things:
        model = things["model-sha256"]
        fields["model"] = model["name"]
        fields["model_version"] = model["detail"][0]["valueString"]
        fields["model_digest"] = model["what"]["identifier"]["value"]
    assert resource["id"] == fields["leaf"]
    return fields


def test_every_action_is_a_valid_audit_event_and_read_back() -> None:
    """Each action with each outcome gives all its fields back, number and leaf hash too."""
    for stored in entries.of_every_action():
        assert rebuilt(valid(stored)) == entries.stated(stored)


# A FHIR text may not hold control characters and odd spaces: the next test is about those.
@given(entries.texts(exclude_characters=CONTROLS + SPACES))
def test_any_text_is_read_back(stored: Stored) -> None:
    """No text breaks a resource, and none is changed."""
    assert rebuilt(valid(stored)) == entries.stated(stored)


def plain(text: str) -> str:
    """Return the text as FHIR can have it: pictures of controls, and plain spaces."""
    kept = {ord(ch): ord(ch) for ch in "\t\n\r"}
    pictures = {code: 0x2400 + code for code in range(32)} | {0x7F: 0x2421}
    return text.translate({ord(ch): " " for ch in SPACES} | pictures | kept)


@given(entries.texts())
def test_control_characters_become_pictures(stored: Stored) -> None:
    """What FHIR forbids in a text is shown, not sent, and not dropped."""
    fields, expected = rebuilt(valid(stored)), entries.stated(stored)
    for name in ("user", "role", "credential", "source", "entity", "model", "model_digest"):
        assert fields[name] == plain(expected[name])
    assert fields["policy"] == expected["policy"]


def test_empty_texts_are_left_out() -> None:
    """FHIR has no empty text; the resource stays valid without it."""
    stored = entries.sample(
        entity="", purpose="", policy="", source="",
        agent=entries.Agent("", "", "", ""), model=entries.ModelRef("", "", ""),
    )  # fmt: skip
    resource = valid(stored)
    assert '""' not in json.dumps(resource)
    assert "purposeOfEvent" not in resource


def test_every_action_has_a_meaning() -> None:
    """An action that is added to the list is given its codes here by decision, not by default."""
    assert fhir_codes.MEANINGS.keys() == ACTIONS.keys()


@pytest.mark.parametrize(
    ("outcome", "code"), [("success", "0"), ("refused", "4"), ("failure", "8"), ("intent", None)]
)
def test_outcome_is_coded(outcome: str, code: str | None) -> None:
    """A refusal is a minor failure; an intent has no outcome yet, so none is claimed."""
    resource = valid(entries.sample(outcome=Outcome(outcome)))
    assert resource.get("outcome") == code
    assert resource["outcomeDesc"] == outcome


@pytest.mark.parametrize(
    ("purpose", "code"),
    [("treatment", "TREAT"), ("operations", "HOPERAT"), ("education", "TRAIN"), ("test", "HTEST")],
)
def test_purposes_of_the_settings_are_codes_of_hl7(purpose: str, code: str) -> None:
    """The purposes that the settings come with are PurposeOfUse codes, for event and agent."""
    resource = valid(entries.sample(purpose=purpose))
    [concept] = resource["purposeOfEvent"]
    assert concept["coding"][0]["code"] == code
    assert concept["coding"][0]["system"].endswith("v3-ActReason")
    assert agents(resource)["IRCP"]["purposeOfUse"] == [concept]


def test_own_purpose_keeps_its_word() -> None:
    """A purpose that only this site knows is sent in the project's own code system."""
    [concept] = valid(entries.sample(purpose="ward-round"))["purposeOfEvent"]
    assert concept["coding"] == [
        {"system": BASE + "purpose", "code": "ward-round", "display": "ward-round"}
    ]


def test_agents_are_those_of_balp() -> None:
    """User, client and server are told apart by type, and only the user asked."""
    who = agents(valid(entries.sample(source="10.1.2.3")))
    assert list(who) == ["IRCP", "110153", "110152"]
    assert [agent["requestor"] for agent in who.values()] == [True, False, False]
    assert who["110153"]["network"] == {"address": "10.1.2.3", "type": "2"}
    assert "network" not in who["IRCP"]


@pytest.mark.parametrize(
    "content", [{"subject": entries.PATIENT}, {"filters": {"subject": entries.PATIENT}}]
)
def test_patient_is_an_entity_by_pseudonym(content: dict[str, Any]) -> None:
    """Accesses to one patient's data, and readings of the record about it, are found by BALP."""
    resource = valid(entries.sample(content=content))
    patient = entities(resource)["subject"]
    assert patient["type"]["code"] == "1"
    assert patient["role"]["code"] == "1"
    assert patient["what"]["type"] == "Patient"
    assert patient["what"]["identifier"]["value"] == entries.PATIENT


def test_model_and_conversation_are_entities() -> None:
    """The weights are named by digest, and the conversation beside the answer."""
    things = valid(entries.sample(content={"conversation": "cnv_9"}))["entity"]
    names = [thing["what"]["identifier"]["value"] for thing in things]
    assert names == [f"{entries.LOG}#7", "msg_00000007", "cnv_9", "a" * 64]
