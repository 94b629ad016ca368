"""FHIR R4 (4.0.1) AuditEvent, one JSON resource per line, in the spirit of IHE BALP (pure).

BALP's own profiles are for REST calls, which these events are not, so none is claimed; its
patterns are followed: agents for the user, the client and the server, the patient as an entity
of type Person and role Patient, purposes from v3-ActReason.

FHIR texts are never empty, and have no control characters and no spaces but the plain one: an
empty text is left out, a control character is written as its picture (U+2400 and up).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from appliance.audit.chain import Stored
from appliance.audit.exports import fhir_codes as codes
from appliance.audit.exports import reading
from appliance.audit.exports.fhir_codes import coding

# Fields without an element of their own in AuditEvent: they are details of the record's entity.
DETAILS = (
    "seq", "leaf", "prev", "v", "type", "boot", "mono", "method", "prompt_tokens",
    "answer_tokens", "latency_ms", "content",
)  # fmt: skip
_SYSTEM_OBJECT = coding(codes.ENTITY_TYPE, "2", "System Object")
_PERSON = coding(codes.ENTITY_TYPE, "1", "Person")
# FHIR's pattern of a text takes \t, \n, \r and the plain space, and no other space of Unicode.
_SPACES = "\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_SAFE = (
    {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}
    | {0x7F: 0x2421}
    | {ord(space): ord(" ") for space in _SPACES}
)
_CODE = re.compile(r"[^\s]+(?: [^\s]+)*")

Resource = dict[str, Any]


def lines(entries: Iterable[Stored]) -> Iterator[bytes]:
    """Yield one line per entry."""
    for stored in entries:
        yield reading.line(resource(stored))


def resource(stored: Stored) -> Resource:
    """Return one AuditEvent; its id is the leaf hash, so sending it twice makes no second one."""
    value = reading.fields(stored)
    entry = reading.flat(stored, value)
    meaning = codes.MEANINGS.get(entry["action"], codes.OTHER)
    own = coding(codes.BASE + "action", entry["action"], entry["action"])
    event: Resource = {
        "resourceType": "AuditEvent",
        "id": entry["leaf"],
        "type": meaning.kind,
        "subtype": [own] if meaning.detail is None else [meaning.detail, own],
        "action": meaning.verb,
        "recorded": entry["t"],
    }
    if entry["outcome"] in codes.OUTCOMES:
        event["outcome"] = codes.OUTCOMES[entry["outcome"]]
    event["outcomeDesc"] = entry["outcome"]
    if entry["purpose"]:
        event["purposeOfEvent"] = [_concept("purpose", entry["purpose"])]
    event["agent"] = _agents(entry)
    event["source"] = {
        "site": _text(reading.site(entry["log"])) or "-",
        "observer": {"identifier": _identifier("record", entry["log"])},
        "type": [coding(codes.SOURCE_TYPE, "4", "Application Server")],
    }
    event["entity"] = _entities(entry, value["content"] or {})
    return event


def _agents(entry: dict[str, Any]) -> list[Resource]:
    user: Resource = {
        "type": _type(codes.PARTICIPATION, "IRCP", "information recipient"),
        "role": [_concept("role", entry["role"])],
        "who": {"identifier": _identifier("user", entry["user"])},
        "requestor": True,
    }
    if entry["credential"]:
        user["altId"] = _text(entry["credential"])
    if entry["policy"]:
        # A uri: the rule's name with everything else than letters, digits and -._~ quoted.
        user["policy"] = [codes.BASE + "policy/" + quote(entry["policy"], safe="")]
    if entry["purpose"]:
        user["purposeOfUse"] = [_concept("purpose", entry["purpose"])]
    agents = [user]
    if entry["source"]:
        agents.append(_client(entry["source"]))
    agents.append(
        {
            "type": _type(codes.DCM, "110152", "Destination Role ID"),
            "who": {"identifier": _identifier("record", entry["log"])},
            "requestor": False,
        }
    )
    return agents


def _client(source: str) -> Resource:
    is_name = reading.address(source) is None
    return {
        "type": _type(codes.DCM, "110153", "Source Role ID"),
        "who": {"identifier": _identifier("source", source)},
        "requestor": False,
        "network": {"address": _text(source), "type": "1" if is_name else "2"},
    }


def _entities(entry: dict[str, Any], content: dict[str, Any]) -> list[Resource]:
    found = [_record(entry)]
    if entry["entity"]:
        found.append(_subject(entry["entity"]))
    conversation = content.get("conversation")
    if conversation and isinstance(conversation, str) and conversation != entry["entity"]:
        found.append(_subject(conversation))
    if entry["model"] is not None:
        found.append(_model(entry))
    found += [_patient(patient) for patient in _subjects(content)]
    return found


def _subjects(content: dict[str, Any]) -> list[str]:
    """Return the pseudonyms of patients whom an answer, or a reading of the record, is about."""
    filters = content.get("filters")
    about = [content.get("subject"), filters.get("subject") if isinstance(filters, dict) else None]
    return [subject for subject in about if subject and isinstance(subject, str)]


def _patient(pseudonym: str) -> Resource:
    # A keyed pseudonym: only this record's keeper can say whose it is.
    return {
        "what": {"type": "Patient", "identifier": _identifier("subject", pseudonym)},
        "type": _PERSON,
        "role": coding(codes.OBJECT_ROLE, "1", "Patient"),
    }


def _record(entry: dict[str, Any]) -> Resource:
    """Return the entry itself as an object: where it stands, and what has no element in FHIR."""
    details = [
        {"type": name, "valueString": _text(str(entry[name]))}
        for name in DETAILS
        if entry[name] not in (None, "")
    ]
    return {
        "what": {"identifier": _identifier("entry", f"{entry['log']}#{entry['seq']}")},
        "type": _SYSTEM_OBJECT,
        "role": coding(codes.OBJECT_ROLE, "13", "Security Resource"),
        "detail": details,
    }


def _subject(entity: str) -> Resource:
    person = entity.startswith("usr_")
    return {
        "what": {"identifier": _identifier("entity", entity)},
        "type": _PERSON if person else _SYSTEM_OBJECT,
        "role": coding(codes.OBJECT_ROLE, "6", "User")
        if person
        else coding(codes.OBJECT_ROLE, "4", "Domain Resource"),
    }


def _model(entry: dict[str, Any]) -> Resource:
    model: Resource = {
        "what": {"identifier": _identifier("model-sha256", entry["model_digest"])},
        "type": _SYSTEM_OBJECT,
        "role": coding(codes.OBJECT_ROLE, "5", "Master file"),
    }
    if entry["model"]:
        model["name"] = _text(entry["model"])
    if entry["model_version"]:
        model["detail"] = [{"type": "version", "valueString": _text(entry["model_version"])}]
    return model


def _identifier(kind: str, value: str) -> Resource:
    identifier = {"system": codes.BASE + kind}
    return {**identifier, "value": _text(value)} if value else identifier


def _concept(kind: str, word: str) -> Resource:
    known = codes.PURPOSES.get(word) if kind == "purpose" else None
    concept: Resource = {"text": _text(word)} if word else {}
    if known is not None:
        concept["coding"] = [known]
    elif _CODE.fullmatch(_text(word)):
        concept["coding"] = [coding(codes.BASE + kind, _text(word), _text(word))]
    return concept


def _type(system: str, code: str, display: str) -> Resource:
    return {"coding": [coding(system, code, display)]}


def _text(text: str) -> str:
    return text.translate(_SAFE)
