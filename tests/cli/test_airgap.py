"""`appliance doctor --airgap` where it runs without containers, and reports that are collected."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from appliance.airgap import probe, probing
from appliance.airgap.judging import Line
from appliance.airgap.probe import Outcome, Result
from appliance.airgap.report import Report
from appliance.airgap.stack import Role
from tests.cli.conftest import Run

T = "2026-11-21T09:30:00.000Z"
OPEN = Line("tcp 9.9.9.9:443", "fail", "connected", "no answer", "take it off that network")
CLOSED = Line("tcp 9.9.9.9:443", "ok", "no route", "no answer")
WORKS = Line("the check itself", "ok", "an open port was found", "it finds an open port")


@pytest.fixture(autouse=True)
def nothing_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes of public addresses are not made here; tests/processes has a world for them."""

    def silent(probes: Any) -> list[Result]:
        return [
            probing.attempt(one) if one.to is probe.To.ITSELF else Result(one, Outcome.SILENT)
            for one in probes
        ]

    monkeypatch.setattr(probing, "run", silent)
    monkeypatch.setattr(probing, "resolve", lambda names, servers: [])


def entries(appliance: Run) -> list[dict[str, Any]]:
    listed = appliance("audit", "list", "--action", "airgap.check", "--json").value
    return list(listed["entries"])


def test_without_containers_it_says_that_this_is_no_stack(appliance: Run) -> None:
    """Whoever runs `appliance run` on a laptop is not told that the hospital is safe."""
    ended = appliance("doctor", "--airgap")
    assert "no container of the stack" in ended.out
    assert "the hospital's stack" in ended.out
    assert "says nothing about the stack" in ended.err


def test_it_is_recorded_before_and_after(appliance: Run) -> None:
    """Under the name of the person at the terminal."""
    value = appliance("doctor", "--airgap", "--json").value
    intent, outcome = entries(appliance)
    assert intent["outcome"] == "intent"
    assert outcome["seq"] == value["entry"]
    assert outcome["agent"]["user"].startswith("os:")


def test_the_report_can_be_taken_along_with_its_proof(appliance: Run, tmp_path: Path) -> None:
    """The file's own SHA-256 is what the record states."""
    file = tmp_path / "report.json"
    appliance("doctor", "--airgap", "--out", str(file))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert entries(appliance)[-1]["content"]["sha256"] == digest
    assert (tmp_path / "report.json.tlog-proof").read_text().startswith("c2sp.org/tlog-proof")


def test_a_way_out_is_exit_1_and_says_what_to_do(appliance: Run) -> None:
    """So that a timer, or a person, sees it."""
    report = Report(Role.GATEWAY, T, (WORKS, OPEN)).to_bytes().decode()
    ended = appliance("doctor", "--airgap", "--collect", "-", typed=report)
    assert ended.code == 1
    assert "next (tcp 9.9.9.9:443): take it off that network" in ended.err


def test_a_report_from_elsewhere_is_recorded(appliance: Run) -> None:
    """A container without the record prints it, and here it is written down."""
    report = Report(Role.ENGINE, T, (WORKS, CLOSED))
    ended = appliance("doctor", "--airgap", "--collect", "-", typed=report.to_bytes().decode())
    assert ended.code == 0, ended.err
    content = entries(appliance)[-1]["content"]
    assert (content["role"], content["closed"], content["way"]) == ("engine", True, "collected")


def test_what_is_no_report_is_not_recorded(appliance: Run) -> None:
    """Nor half of one."""
    half = Report(Role.ENGINE, T, (WORKS, CLOSED)).to_bytes().decode()[:-9]
    assert appliance("doctor", "--airgap", "--collect", "-", typed=half).code == 2
    assert entries(appliance) == []


def test_without_a_record_it_is_printed_and_said(appliance: Run, tmp_path: Path) -> None:
    """The engine has no way to the record, and that is meant."""
    nowhere = ("--state", str(tmp_path / "none"))
    ended = appliance("doctor", "--airgap", "--role", "engine", *nowhere)
    assert "not recorded" in ended.err
    printed = appliance("doctor", "--airgap", "--role", "engine", "--out", "-", *nowhere)
    assert json.loads(printed.out)["role"] == "engine"
    taken = appliance("doctor", "--airgap", "--collect", "-", typed=printed.out)
    assert taken.code == printed.code
    assert entries(appliance)[-1]["content"]["role"] == "engine"


def test_its_options_go_with_it(appliance: Run) -> None:
    """Else somebody would believe to have looked."""
    assert appliance("doctor", "--role", "engine").code == 2


def test_the_doctor_says_that_nothing_holds_a_machine_in(appliance: Run) -> None:
    """A warning, and no failure: it is meant on a developer's machine."""
    found = {item["check"]: item for item in appliance("doctor", "--json").value}
    assert found["air gap"]["verdict"] == "warn"
