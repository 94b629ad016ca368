"""CEF: escaped so that every value comes back, by the specification and by another's parser."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pycef
from hypothesis import given

from appliance.audit import exports
from appliance.audit.chain import Stored
from appliance.audit.exports import cef
from tests.unit.audit.exports import entries

NUMBERS = ("seq", "prompt_tokens", "answer_tokens", "latency_ms", "mono")
UNESCAPED = {"n": "\n", "r": "\r"}


def unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: UNESCAPED.get(found[1], found[1]), text)


def parsed(line: str) -> tuple[list[str], dict[str, str]]:
    """Return header and extension, by the words of the specification.

    An unescaped `|` ends a header field. A key is what stands between a space and an unescaped
    `=`; all spaces but the last before a key belong to the value before it.
    """
    *header, extension = re.split(r"(?<!\\)\|", line, maxsplit=7)
    starts = list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=", extension))
    ends = [found.start() for found in starts[1:]] + [len(extension)]
    values = {
        found[1]: unescape(extension[found.end() : end])
        for found, end in zip(starts, ends, strict=True)
    }
    return [unescape(field) for field in header], values


def typed(header: list[str], values: dict[str, str]) -> dict[str, Any]:
    """Return the entry's fields; what is not one of them must be explained here."""
    fields: dict[str, Any] = {
        column: values.pop(key) for column, key in cef.KEYS.items() if key in values
    }
    fields |= {name: int(fields[name]) for name in NUMBERS if name in fields}
    milliseconds = int(values.pop("rt"))
    moment = datetime.fromtimestamp(milliseconds // 1000, tz=UTC)
    fields |= {"t": f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z", "v": int(header[3])}
    assert values.pop("c6a2Label", None) in (None, "Source IPv6 Address")
    for key in ("src", "c6a2", "shost"):
        if key in values:
            fields["source"] = values.pop(key)
    if "content" in fields:
        fields["content"] = json.loads(fields["content"])
    assert not values
    return fields


def lines(*stored: Stored) -> list[str]:
    data = b"".join(exports.export("cef", stored)).decode()
    assert data.endswith("\n")
    return data[:-1].split("\n")


def test_every_action_is_read_back_whole() -> None:
    """Each action with each outcome gives all its fields back, number and leaf hash too."""
    stored = list(entries.of_every_action())
    for line, one in zip(lines(*stored), stored, strict=True):
        header, values = parsed(line)
        assert header[:3] == ["CEF:0", "appliance", "audit record"]
        assert header[4] == entries.flat(one)["action"]
        assert typed(header, values) == entries.stated(one)


@given(entries.texts())
def test_any_text_is_read_back(stored: Stored) -> None:
    """No text can end a value, a key or the event, and none is changed."""
    [line] = lines(stored)
    assert typed(*parsed(line)) == entries.stated(stored)


def test_awkward_texts_are_read_back() -> None:
    """Pipes, equals signs, line ends and backslashes come back as recorded."""
    stored = list(entries.awkward())
    for line, one in zip(lines(*stored), stored, strict=True):
        assert typed(*parsed(line)) == entries.stated(one)


def test_another_parser_reads_the_same() -> None:
    """pycef, which this project did not write, finds every key; it leaves escapes in place."""
    for one in entries.of_every_action():
        found = pycef.parse(lines(one)[0])
        assert found is not None
        expected = entries.stated(one)
        assert found["DeviceEventClassID"] == expected["action"]
        assert found["externalId"] == str(expected["seq"])
        assert found["applianceLeaf"] == expected["leaf"]
        assert unescape(found["suid"]) == expected["user"]
        if "content" in expected:
            assert json.loads(unescape(found["applianceContent"])) == expected["content"]


def test_escapes_are_those_of_the_specification() -> None:
    r"""A value has `\\`, `\=`, `\n` and `\r`; a pipe is escaped in the header alone."""
    [line] = lines(entries.sample(entity="a|b\\c=d\r\ne"))
    assert r"applianceEntity=a|b\\c\=d\r\ne " in line


def test_addresses_go_where_their_kind_belongs() -> None:
    """`src` takes IPv4 only, IPv6 has its labelled field, a name is a host."""
    assert parsed(lines(entries.sample(source="10.0.0.1"))[0])[1]["src"] == "10.0.0.1"
    v6 = parsed(lines(entries.sample(source="2001:db8::1"))[0])[1]
    assert (v6["c6a2"], v6["c6a2Label"]) == ("2001:db8::1", "Source IPv6 Address")
    assert parsed(lines(entries.sample(source="console"))[0])[1]["shost"] == "console"
