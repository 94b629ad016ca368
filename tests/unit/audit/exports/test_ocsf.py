"""OCSF: every event is valid by the schema of OCSF 1.8.0 for its class, and proves its entry."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

from hypothesis import given
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from appliance.audit import exports
from appliance.audit.actions import ACTIONS
from appliance.audit.chain import Stored
from appliance.audit.exports import ocsf_classes
from tests.unit.audit.exports import entries


@cache
def schema() -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema("1.8.0"))


@cache
def validator(class_uid: int, profiles: tuple[str, ...]) -> Draft202012Validator:
    """Return what checks an event of a class; it refuses attributes that OCSF has not."""
    name = schema().lookup_class_name_from_uid(class_uid)
    return Draft202012Validator(schema().get_class_schema(name, list(profiles)))


def valid(stored: Stored) -> dict[str, Any]:
    """Return the exported event after OCSF's own schema accepted it."""
    line = b"".join(exports.export("ocsf", [stored]))
    assert line.count(b"\n") == 1
    event: dict[str, Any] = json.loads(line)
    profiles = tuple(event["metadata"].get("profiles", ()))
    validator(event["class_uid"], profiles).validate(event)
    captions(event)
    return event


def captions(event: dict[str, Any]) -> None:
    """Check that each number's name is the one that OCSF's dictionary has for it."""
    attributes = schema().schema.schema["classes"][
        schema().lookup_class_name_from_uid(event["class_uid"])
    ]["attributes"]
    for number, name in (
        ("category_uid", "category_name"), ("class_uid", "class_name"),
        ("activity_id", "activity_name"), ("severity_id", "severity"),
        ("status_id", "status"), ("type_uid", "type_name"),
    ):  # fmt: skip
        if event[number] != 99:  # for "Other" the name is the source's own
            assert attributes[number]["enum"][str(event[number])]["caption"] == event[name]


def check(stored: Stored) -> None:
    """Check that the event is valid, proves the entry and says what it says."""
    event, value = valid(stored), json.loads(stored.data)
    assert event["raw_data"].encode() == stored.data
    leaf = hashlib.sha256(b"\x00" + event["raw_data"].encode()).hexdigest()
    assert event["raw_data_hash"]["value"] == leaf == stored.leaf.hex()
    assert (event["metadata"]["sequence"], event["metadata"]["uid"]) == (stored.seq, leaf)
    assert event["metadata"]["original_time"] == value["t"]
    assert event["metadata"]["event_code"] == value["action"]
    assert event["status_detail"] == value["outcome"]
    assert event.get("duration") == value["latency_ms"]

    actor, agent = event["actor"], value["agent"]
    assert actor["user"]["uid"] == agent["user"]
    assert actor["user"]["groups"] == [{"name": agent["role"]}]
    assert actor.get("session", {}).get("credential_uid") == agent["credential"]
    policies = [item["policy"]["name"] for item in actor.get("authorizations", [])]
    assert policies == ([] if value["policy"] is None else [value["policy"]])
    for name in ("boot", "mono", "source", "entity", "purpose", "model", "tokens", "content"):
        assert event["unmapped"].get(name) == value[name]


def test_every_action_is_valid_by_its_class() -> None:
    """Each action with each outcome is what OCSF's schema asks for, and carries its entry."""
    for stored in entries.of_every_action():
        check(stored)


@given(entries.texts())
def test_any_text_is_valid(stored: Stored) -> None:
    """No text makes an event invalid, and the entry can be hashed again from it."""
    check(stored)


def test_every_action_has_a_class() -> None:
    """An action that is added to the list is given its class here by decision, not by default."""
    assert ocsf_classes.KINDS.keys() == ACTIONS.keys()


def test_model_and_tokens_of_an_answer_have_their_place() -> None:
    """The profile for AI operations carries model, version, digest and tokens."""
    event = valid(entries.sample())
    assert event["metadata"]["profiles"] == ["ai_operation"]
    assert event["ai_model"]["uid"] == "a" * 64
    context = event["message_context"]
    assert (context["prompt_tokens"], context["completion_tokens"]) == (12, 34)


def test_chain_is_in_the_words_of_record_integrity() -> None:
    """Chain, fingerprint and the event before; the first entry has none before it."""
    attestation = valid(entries.sample())["unmapped"]["attestation"]
    assert attestation["chain_uid"] == entries.LOG
    assert attestation["prev_event"]["fingerprint"]["value"] == "11" * 32
    assert "prev_event" not in valid(entries.sample(0))["unmapped"]["attestation"]


def test_target_of_an_account_change_is_its_user() -> None:
    """Who was changed and who did it are told apart."""
    event = valid(entries.sample(action="user.disable", entity="usr_9"))
    assert (event["user"]["uid"], event["actor"]["user"]["uid"]) == ("usr_9", "usr_0")
