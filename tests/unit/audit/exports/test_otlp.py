"""OTLP: every line is what OpenTelemetry's own message definition reads, with nothing lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData

from appliance.audit import exports
from appliance.audit.chain import Stored
from appliance.audit.exports import otlp
from tests.unit.audit.exports import entries


def read(stored: Stored) -> tuple[LogsData, LogRecord]:
    """Return what OpenTelemetry's classes read in the export; they refuse unknown fields."""
    line = b"".join(exports.export("otlp", [stored]))
    assert line.count(b"\n") == 1
    message = json_format.Parse(line, LogsData(), ignore_unknown_fields=False)
    [resource] = message.resource_logs
    [scope] = resource.scope_logs
    [record] = scope.log_records
    return message, record


def value(of: AnyValue) -> Any:
    return getattr(of, of.WhichOneof("value"))


def rebuilt(stored: Stored) -> dict[str, Any]:
    """Return the entry's fields as they come out of the log record."""
    message, record = read(stored)
    resource = message.resource_logs[0]
    about = {item.key: value(item.value) for item in resource.resource.attributes}
    found = {item.key: value(item.value) for item in record.attributes}
    fields = {column: found[name] for column, name in otlp.ATTRIBUTES.items() if name in found}
    assert len(fields) == len(found)
    moment = datetime.fromtimestamp(record.time_unix_nano // 10**9, tz=UTC)
    milliseconds = record.time_unix_nano % 10**9 // 10**6
    fields |= {
        "t": f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z",
        "action": record.event_name,
        "log": about["service.instance.id"],
        "v": int(resource.scope_logs[0].scope.version),
    }
    if "content" in fields:
        fields["content"] = json.loads(fields["content"])
    return fields


def test_every_action_is_read_back_whole() -> None:
    """Each action with each outcome gives all its fields back, number and leaf hash too."""
    for stored in entries.of_every_action():
        assert rebuilt(stored) == entries.stated(stored)


@given(entries.texts())
def test_any_text_is_read_back(stored: Stored) -> None:
    """No text is changed on its way through JSON and protobuf."""
    assert rebuilt(stored) == entries.stated(stored)


@pytest.mark.parametrize(
    ("outcome", "number"), [("intent", 9), ("success", 9), ("refused", 13), ("failure", 17)]
)
def test_severity_follows_the_outcome(outcome: str, number: int) -> None:
    """What was refused is a warning, what failed an error."""
    _, record = read(entries.sample(outcome=entries.Outcome(outcome)))
    assert record.severity_number == number
