"""OTLP logs in their JSON encoding: one `LogsData` message per line, as collectors read files.

64-bit numbers are JSON strings, as protobuf's JSON mapping has them. Names of attributes are the
semantic conventions' where there is one, else they start with `appliance.`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from appliance.audit.chain import Stored
from appliance.audit.exports import reading

_SEVERITY = {
    "intent": (9, "INFO"),
    "success": (9, "INFO"),
    "refused": (13, "WARN"),
    "failure": (17, "ERROR"),
}
# Attribute of each column that is neither time, event name, resource nor scope.
ATTRIBUTES = {
    "seq": "appliance.seq",
    "leaf": "log.record.uid",
    "type": "appliance.type",
    "outcome": "appliance.outcome",
    "user": "user.id",
    "role": "appliance.role",
    "method": "appliance.method",
    "credential": "appliance.credential",
    "source": "client.address",
    "entity": "appliance.entity",
    "purpose": "appliance.purpose",
    "model": "gen_ai.request.model",
    "model_version": "appliance.model.version",
    "model_digest": "appliance.model.digest",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "answer_tokens": "gen_ai.usage.output_tokens",
    "latency_ms": "appliance.latency_ms",
    "policy": "appliance.policy",
    "content": "appliance.content",
    "boot": "appliance.boot",
    "mono": "appliance.mono",
    "prev": "appliance.prev",
}


def lines(entries: Iterable[Stored]) -> Iterator[bytes]:
    """Yield one line per entry."""
    for stored in entries:
        yield reading.line(message(stored))


def message(stored: Stored) -> dict[str, Any]:
    """Return a `LogsData` message that holds one log record."""
    entry = reading.row(stored)
    resource = {"service.name": "appliance", "service.instance.id": entry["log"]}
    scope = {"name": "appliance.audit", "version": str(entry["v"])}
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeLogs": [{"scope": scope, "logRecords": [_record(entry)]}],
            }
        ]
    }


def _record(entry: dict[str, Any]) -> dict[str, Any]:
    number, text = _SEVERITY.get(entry["outcome"], (0, ""))
    nanoseconds = str(reading.microseconds(entry["t"]) * 1000)
    return {
        "timeUnixNano": nanoseconds,
        "observedTimeUnixNano": nanoseconds,
        "severityNumber": number,
        "severityText": text,
        "eventName": entry["action"],
        "body": {"stringValue": f"{entry['action']} {entry['outcome']}"},
        "attributes": _attributes({name: entry[column] for column, name in ATTRIBUTES.items()}),
    }


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "value": {"stringValue": value} if type(value) is str else {"intValue": str(value)},
        }
        for key, value in values.items()
        if value is not None
    ]
