"""The report as it travels: one spelling, and nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance import canonical
from appliance.airgap.judging import Line
from appliance.airgap.report import MAX_NAMED, Report, parse
from appliance.airgap.stack import Role
from appliance.audit.entry import MAX_BYTES
from appliance.errors import BadInputError

GOOD = Line("tcp 1.1.1.1:443", "ok", "no route", "no answer")
OPEN = Line("tcp 9.9.9.9:443", "fail", "connected", "no answer", "take it off that network")
WORKS = Line("the check itself", "ok", "an open port was found", "it finds an open port")
REPORT = Report(Role.ENGINE, "2026-11-21T09:30:00.000Z", (WORKS, GOOD, OPEN))


def test_it_comes_back_as_it_was() -> None:
    """Also with the line break that printing adds."""
    assert parse(REPORT.to_bytes() + b"\n") == REPORT


def test_the_entry_names_what_is_open_and_holds_the_digest() -> None:
    """The file can be held against the record by anybody with sha256sum."""
    facts = REPORT.facts()
    assert facts["open"] == ["tcp 9.9.9.9:443"]
    assert facts["closed"] is False
    assert facts["sha256"] == canonical.sha256(REPORT.to_bytes()).hex()


def test_a_report_without_lines_is_not_closed() -> None:
    """Nobody has looked at anything."""
    assert not Report(Role.ENGINE, REPORT.t, ()).is_closed


def test_a_world_that_is_wide_open_fits_into_an_entry() -> None:
    """The digest covers what is not named."""
    many = tuple(Line(f"tcp [2001:db8::{at:x}]:443 (llama-server)", "fail", "x", "y") for at in
                 range(1_000))  # fmt: skip
    facts = Report(Role.ENGINE, REPORT.t, many).facts()
    assert len(facts["open"]) == MAX_NAMED
    assert len(canonical.encode(facts)) < MAX_BYTES // 4


def _changed(**fields: Any) -> bytes:
    return canonical.encode({**REPORT.to_json(), **fields})


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", json.dumps(REPORT.to_json(), indent=1).encode(),
        _changed(format="appliance-airgap/2"), _changed(role="king"), _changed(t=7),
        _changed(closed=True), _changed(more=1), _changed(lines=[{"check": "x"}]),
        _changed(lines=[{**GOOD.to_json(), "verdict": "fine"}]),
        _changed(lines=[{**GOOD.to_json(), "found": "a\nb"}]),
        b"x" * 300_000,
    ],
)  # fmt: skip
def test_anything_else_is_refused(data: bytes) -> None:
    """Another spelling, a field too many, a verdict that contradicts the lines."""
    with pytest.raises(BadInputError):
        parse(data)


@pytest.mark.parametrize(
    "change",
    [
        {"t": "long ago"},
        {"lines": ""},
        {"lines": [vars(GOOD)]},
    ],
    ids=["no time", "no list", "nobody says that the check works"],
)
def test_what_proves_nothing_is_refused(change: dict[str, Any]) -> None:
    """Cut or made up, it would make a part count as looked at."""
    whole = {**json.loads(Report(Role.ENGINE, REPORT.t, (WORKS, GOOD)).to_bytes()), **change}
    with pytest.raises(BadInputError, match="not a report"):
        parse(canonical.encode(whole))


def test_a_host_with_many_ports_can_be_reported() -> None:
    """What is written here is read here, however long one line gets."""
    many = Line("open ports", "warn", ", ".join(f"tcp {port}" for port in range(400)), "few")
    report = Report(Role.HOST, REPORT.t, (WORKS, many))
    assert parse(report.to_bytes()) == report
