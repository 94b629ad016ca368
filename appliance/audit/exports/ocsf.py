"""OCSF 1.8.0 events, one JSON object per line (pure).

The entry itself is `raw_data`, and its leaf hash is `raw_data_hash`, so that a reader of OCSF
can recompute it: SHA-256 over one zero byte and the bytes of `raw_data`. The chain is in
`unmapped.attestation`, in the words of OCSF's profile `record_integrity`, which is newer than
1.8.0. What else 1.8.0 has no place for is in `unmapped` too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from appliance.audit.chain import Stored
from appliance.audit.entry import GENESIS
from appliance.audit.exports import ocsf_classes as classes
from appliance.audit.exports import reading

VERSION = "1.8.0"
PRODUCT = {"name": "appliance", "vendor_name": "appliance"}
ALGORITHM = "RFC 9162 leaf hash: SHA-256(0x00 || raw_data)"
_OTHER = 99
# (severity_id, severity, status_id, status)
_OUTCOME = {
    "intent": (1, "Informational", _OTHER, "intent"),
    "success": (1, "Informational", 1, "Success"),
    "refused": (2, "Low", 2, "Failure"),
    "failure": (3, "Medium", 2, "Failure"),
}
_SYSTEM, _ADMIN, _USER = (3, "System"), (2, "Admin"), (1, "User")
_USER_TYPE = {"system": _SYSTEM, "console": _ADMIN, "administrator": _ADMIN}

Object = dict[str, Any]


def lines(entries: Iterable[Stored]) -> Iterator[bytes]:
    """Yield one line per entry."""
    for stored in entries:
        yield reading.line(event(stored))


def event(stored: Stored) -> Object:
    """Return one OCSF event of the class that the action is."""
    value = reading.fields(stored)
    entry = reading.flat(stored, value)
    kind = classes.KINDS.get(entry["action"], classes.OTHER)
    has_ai = kind.class_uid == classes.API and entry["model"] is not None
    common = {
        **_class(kind, entry["action"]),
        **_status(entry["outcome"]),
        "time": reading.microseconds(entry["t"]) // 1000,
        "message": f"{entry['action']} {entry['outcome']}",
        "metadata": _metadata(entry, _profiles(kind.class_uid, has_ai)),
        "actor": _actor(entry),
        "raw_data": stored.data.decode(),
        "raw_data_size": len(stored.data),
        "raw_data_hash": _fingerprint(entry["leaf"]),
        "unmapped": _unmapped(entry, value),
    }
    if entry["latency_ms"] is not None:
        common["duration"] = entry["latency_ms"]
    return {**common, **_own(kind.class_uid, entry), **(_ai(entry) if has_ai else {})}


def _class(kind: classes.Kind, action: str) -> Object:
    category = kind.class_uid // 1000
    name, activity = classes.CLASS_NAMES[kind.class_uid], kind.activity_name(action)
    return {
        "category_uid": category,
        "category_name": classes.CATEGORY_NAMES[category],
        "class_uid": kind.class_uid,
        "class_name": name,
        "activity_id": kind.activity_id,
        "activity_name": activity,
        "type_uid": kind.class_uid * 100 + kind.activity_id,
        "type_name": f"{name}: {'Other' if kind.activity_id == _OTHER else activity}",
    }


def _status(outcome: str) -> Object:
    severity_id, severity, status_id, status = _OUTCOME.get(outcome, (0, "Unknown", 0, "Unknown"))
    return {
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "status_detail": outcome,
    }


def _profiles(class_uid: int, has_ai: bool) -> list[str]:
    if class_uid in (classes.LIFECYCLE, classes.ERROR):
        return ["host"]  # which brings `actor` to these classes
    return ["ai_operation"] if has_ai else []


def _metadata(entry: Object, profiles: list[str]) -> Object:
    metadata = {
        "version": VERSION,
        "product": PRODUCT,
        "uid": entry["leaf"],
        "sequence": entry["seq"],
        "original_time": entry["t"],
        "event_code": entry["action"],
        "type": entry["type"],
        "log_name": entry["log"],
        "log_provider": "appliance",
        "log_version": str(entry["v"]),
    }
    return {**metadata, "profiles": profiles} if profiles else metadata


def _actor(entry: Object) -> Object:
    actor: Object = {"user": _user(entry["user"], entry["role"])}
    if entry["credential"] is not None:
        actor["session"] = {"credential_uid": entry["credential"]}
    if entry["policy"] is not None:
        actor["authorizations"] = [
            {"policy": {"name": entry["policy"]}, "decision": entry["outcome"]}
        ]
    return actor


def _user(uid: str, role: str) -> Object:
    type_id, type_name = _USER_TYPE.get(role, _USER)
    return {"uid": uid, "type_id": type_id, "type": type_name, "groups": [{"name": role}]}


def _own(class_uid: int, entry: Object) -> Object:
    """Return what this class has and others have not."""
    source, entity = entry["source"], entry["entity"]
    if class_uid == classes.LIFECYCLE:
        return {"app": PRODUCT}
    if class_uid == classes.ERROR:
        return {}
    own: Object = {} if source is None else {"src_endpoint": _endpoint(source)}
    if class_uid == classes.API:
        # Required there; what happens inside has no other source than the appliance.
        own.setdefault("src_endpoint", {"svc_name": entry["user"]})
        own["api"] = {"operation": entry["action"], "service": {"name": "appliance"}}
        if entity is not None:
            own["resources"] = [{"uid": entity}]
    elif class_uid == classes.EVENT_LOG:
        own |= {"log_name": entry["log"], "log_type_id": 2, "log_type": "Application"}
    elif class_uid == classes.ENTITY:
        own["entity"] = {"uid": entity or entry["action"], "type_id": _OTHER}
        own["entity"]["type"] = entry["action"].partition(".")[0]
    else:
        is_person = entity is not None and entity.startswith("usr_")
        own["user"] = {"uid": entity} if is_person else {"uid": entry["user"]}
        if class_uid == classes.AUTHENTICATION:
            own["service"] = {"name": "appliance"}
    return own


def _endpoint(source: str) -> Object:
    return {"name": source} if reading.address(source) is None else {"ip": source}


def _ai(entry: Object) -> Object:
    context: Object = {"application": {"name": "appliance"}}
    for name, column in (
        ("prompt_tokens", "prompt_tokens"),
        ("completion_tokens", "answer_tokens"),
    ):
        if entry[column] is not None:
            context[name] = entry[column]
    return {
        "ai_model": {
            "name": entry["model"],
            "version": entry["model_version"],
            "uid": entry["model_digest"],
            "ai_provider": "appliance",
        },
        "message_context": context,
    }


def _unmapped(entry: Object, value: Object) -> Object:
    attestation: Object = {
        "chain_uid": entry["log"],
        "uid": str(entry["seq"]),
        "fingerprint": _fingerprint(entry["leaf"]),
    }
    if entry["prev"] != GENESIS.hex():
        previous = {"uid": entry["prev"], "fingerprint": _fingerprint(entry["prev"])}
        attestation["prev_event"] = previous
    names = ("boot", "mono", "source", "entity", "purpose", "model", "tokens", "content")
    rest = {name: value[name] for name in names if value[name] is not None}
    return {"attestation": attestation, "method": entry["method"], **rest}


def _fingerprint(value: str) -> Object:
    return {"algorithm_id": _OTHER, "algorithm": ALGORITHM, "value": value}
