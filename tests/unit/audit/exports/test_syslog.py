"""Syslog lines by the grammar of RFC 5424; `test_rsyslog` has them read by a real rsyslog."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given

from appliance.audit import exports
from appliance.audit.actions import ACTIONS, Outcome
from appliance.audit.chain import Stored
from appliance.audit.exports import syslog
from tests.unit.audit.exports import entries

# RFC 5424 section 6, as one expression: header, one structured element, message with its mark.
GRAMMAR = re.compile(
    r"<(?P<pri>\d{1,3})>1 (?P<t>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) "
    r"(?P<host>[\x21-\x7e]{1,255}) (?P<app>[\x21-\x7e]{1,48}) (?P<proc>[\x21-\x7e]{1,128}) "
    r"(?P<msgid>[\x21-\x7e]{1,32}) "
    r'\[(?P<id>[^ =\]"]{1,32})(?P<params>(?: [^ =\]"]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*)\]'
    r" \ufeff(?P<msg>.*)"
)
NUMBERS = ("seq", "v", "mono", "prompt_tokens", "answer_tokens", "latency_ms")


def octal(text: str) -> str:
    """Return the text in which `#ooo` stood for octets."""
    return re.sub(rb"#(\d{3})", lambda found: bytes([int(found[1], 8)]), text.encode()).decode()


def typed(params: dict[str, str]) -> dict[str, Any]:
    """Return fields as recorded from parameters as a reader of syslog has them."""
    row: dict[str, Any] = {name: octal(text) for name, text in params.items()}
    row |= {name: int(row[name]) for name in NUMBERS if name in row}
    if "content" in row:
        row["content"] = json.loads(row["content"])
    return row


def parsed(line: bytes) -> tuple[re.Match[str], dict[str, Any]]:
    """Return the header and the fields of one message."""
    found = GRAMMAR.fullmatch(line.decode())
    assert found, line[:300]
    pairs = re.findall(r' ([^ =]+)="((?:[^"\\\]]|\\.)*)"', found["params"])
    return found, typed({name: re.sub(r"\\(.)", r"\1", text) for name, text in pairs})


def test_every_action_fits_the_grammar_and_is_read_back() -> None:
    """Each action with each outcome gives all its fields back, number and leaf hash too."""
    for stored in entries.of_every_action():
        header, fields = parsed(syslog.line(stored))
        assert fields == entries.stated(stored)
        assert header["t"] == fields["t"]
        assert header["msgid"] == fields["action"]
        assert header["msg"] == f"{fields['action']} {fields['outcome']}"


@given(entries.texts())
def test_any_text_is_read_back_from_one_line(stored: Stored) -> None:
    """No text can end a value, an element or a line, and none is changed."""
    line = syslog.line(stored)
    assert parsed(line)[1] == entries.stated(stored)
    assert len(line.decode().splitlines()) == 1


def test_awkward_texts_are_read_back() -> None:
    """Quotes, brackets, backslashes, line ends and octal look-alikes come back as recorded."""
    for stored in entries.awkward():
        assert parsed(syslog.line(stored))[1] == entries.stated(stored)


def test_null_is_left_out_and_empty_is_not() -> None:
    """A reader can tell that nothing was stated from an empty text."""
    _, fields = parsed(syslog.line(entries.sample(entity="", purpose=None)))
    assert fields["entity"] == ""
    assert "purpose" not in fields


@pytest.mark.parametrize(
    ("outcome", "severity"), [("intent", 6), ("success", 6), ("refused", 4), ("failure", 3)]
)
def test_priority_is_log_audit_with_the_outcomes_severity(outcome: str, severity: int) -> None:
    """Facility 13; a refusal warns, a failure is an error."""
    header, _ = parsed(syslog.line(entries.sample(outcome=Outcome(outcome))))
    assert int(header["pri"]) == 13 * 8 + severity


def test_host_is_the_senders_or_else_the_site() -> None:
    """A sender names itself; a file names the site, in characters that a header may have."""
    stored = entries.sample()
    assert parsed(syslog.line(stored, "ward-3.example"))[0]["host"] == "ward-3.example"
    assert parsed(syslog.line(stored))[0]["host"] == "St._Mary's_Ward_3"
    assert parsed(syslog.line(stored, "Zürich host " * 40))[0]["host"].startswith("Z_rich_host_")


def test_every_action_fits_a_message_id() -> None:
    """RFC 5424 gives a message id 32 characters."""
    assert max(map(len, ACTIONS)) <= 32


def test_file_has_one_message_to_a_line() -> None:
    """The export is the messages, each with its line feed."""
    stored = list(entries.awkward())
    lines = b"".join(exports.export("syslog", stored)).decode().splitlines()
    assert lines == [syslog.line(one).decode() for one in stored]
