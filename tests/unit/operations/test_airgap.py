"""The daily look for a way out, what the record says of it, and who may look."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from appliance.airgap.judging import Line
from appliance.airgap.report import Report
from appliance.airgap.stack import Role
from appliance.assembly import Appliance, assemble
from appliance.cli.actor import console_actor
from appliance.clock import rfc3339
from appliance.config import Config, load
from appliance.errors import ForbiddenError, UnavailableError
from appliance.identity.permissions import GRANTS, Permission
from appliance.operations.airgap import AGAIN_AFTER_NS, REMEMBER_AFTER_NS, UNSEEN, AirGap
from appliance.operations.receipts import AnswerReceipt
from tests.simulators.fresh_state import fresh_state
from tests.simulators.manual_clock import ManualClock
from tests.unit.operations.conftest import actor

DAY_S = 86_400.0
CLOSED = Line("tcp 1.1.1.1:443", "ok", "no route", "no answer")
OPEN = Line("tcp 9.9.9.9:443", "fail", "connected", "no answer", "take it off that network")


@dataclass
class Place:
    """A state folder under a clock of its own, and what a look would find."""

    config: Config
    clock: ManualClock
    appliance: Appliance
    lines: list[Line] = field(default_factory=lambda: [CLOSED])
    looks: int = 0
    broken: OSError | None = None

    def look(self, role: Role, now: float, process: int | None) -> Report:
        self.looks += 1
        if self.broken is not None:
            raise self.broken
        return Report(role, rfc3339(now), tuple(self.lines))

    def verbs(self, role: str = "gateway") -> AirGap:
        return AirGap(self.appliance.ledger, self.clock, role, self.look)

    def record(self) -> list[dict[str, Any]]:
        with sqlite3.connect(self.config.paths.audit_db) as database:
            rows = database.execute("SELECT entry FROM entries ORDER BY seq").fetchall()
        database.close()
        entries = [json.loads(data) for (data,) in rows]
        return [entry for entry in entries if entry["action"] == "airgap.check"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    config = load(tmp_path / "state", file=tmp_path / "none", environment={})
    fresh_state(config, console_actor())
    clock = ManualClock()
    appliance = assemble(config, clock)
    yield Place(config, clock, appliance)
    appliance.close()


def test_the_gateway_of_a_stack_looks_once_a_day(place: Place) -> None:
    """However often the caretaker comes by, and across restarts."""
    verbs = place.verbs()
    assert verbs.run_due() is not None
    assert verbs.run_due() is None
    assert place.verbs().run_due() is None
    place.clock.advance(DAY_S)
    assert verbs.run_due() is not None
    assert place.looks == 2


@pytest.mark.parametrize("role", ["", "ledger", "engine", "host"])
def test_nothing_else_looks_by_itself(place: Place, role: str) -> None:
    """Least of all a developer's machine, from which much would be tried."""
    assert place.verbs(role).run_due() is None
    assert place.looks == 0


def test_a_closed_one_is_an_intent_and_a_success(place: Place) -> None:
    """With the digest of the whole report."""
    done = place.verbs().run_due()
    assert done is not None
    intent, success = place.record()
    assert (intent["outcome"], success["outcome"]) == ("intent", "success")
    assert success["content"] == done.report.facts()
    assert success["agent"]["user"] == "system:airgap"


def test_a_way_out_is_a_failure_that_names_it(place: Place) -> None:
    """In the record, on the pages, and for the doctor."""
    place.lines.append(OPEN)
    verbs = place.verbs()
    verbs.run_due()
    assert place.record()[-1]["outcome"] == "failure"
    assert place.record()[-1]["content"]["open"] == ["tcp 9.9.9.9:443"]
    assert verbs.ways_out() == ["gateway: tcp 9.9.9.9:443"]
    assert verbs.last()["gateway"]["open"] == ["tcp 9.9.9.9:443"]


def test_what_another_part_saw_is_taken_in(place: Place) -> None:
    """The gateway learns of it within minutes, though another process wrote it down."""
    gateway = place.verbs()
    gateway.run_due()
    seen = Report(Role.ENGINE, rfc3339(place.clock.now()), (OPEN,))
    place.verbs().take(console_actor(), seen)
    assert place.record()[-1]["content"]["way"] == "collected"
    assert gateway.ways_out() == []
    place.clock.advance(REMEMBER_AFTER_NS / 1e9 + 1)
    gateway.run_due()
    assert gateway.ways_out() == ["engine: tcp 9.9.9.9:443"]


def test_the_newest_look_counts(place: Place) -> None:
    """What was closed since then is no way out any more."""
    verbs = place.verbs()
    for line in (OPEN, CLOSED):
        place.lines[:] = [line]
        verbs.check(console_actor(), Role.GATEWAY)
    assert verbs.ways_out() == []
    assert verbs.last()["gateway"]["closed"] is True


def test_other_machines_do_not_count(place: Place) -> None:
    """A laptop has a way out; that says nothing about the stack."""
    place.lines.append(OPEN)
    place.verbs("").check(console_actor(), Role.MACHINE)
    gateway = place.verbs()
    place.lines[:] = [CLOSED]
    gateway.run_due()
    assert gateway.ways_out() == []
    assert set(gateway.last()) == {"gateway"}


def test_not_to_be_able_to_look_is_recorded_and_tried_again(place: Place) -> None:
    """After an hour, not every minute."""
    place.broken = PermissionError(1, "not permitted")
    verbs = place.verbs()
    with pytest.raises(UnavailableError):
        verbs.run_due()
    assert place.record()[-1]["outcome"] == "failure"
    assert verbs.ways_out() == [f"gateway: {UNSEEN}"]
    place.broken = None
    assert verbs.run_due() is None
    place.clock.advance(AGAIN_AFTER_NS / 1e9 + 1)
    assert verbs.run_due() is not None


def test_the_receipt_proves_the_report(place: Place) -> None:
    """The signed checkpoint covers the entry, and the entry the file."""
    verbs = place.verbs()
    done = verbs.check(console_actor(), Role.GATEWAY)
    receipt = AnswerReceipt.read(verbs.prove(done))
    assert receipt.entry["content"]["sha256"] == done.report.facts()["sha256"]


@pytest.mark.parametrize(
    "role", sorted(role for role in GRANTS if Permission.AIRGAP_CHECK not in GRANTS[role])
)
def test_only_the_console_may_look(place: Place, role: Any) -> None:
    """A refusal is recorded, and nothing is tried."""
    with pytest.raises(ForbiddenError):
        place.verbs().check(actor(role, "somebody"), Role.GATEWAY)
    assert place.looks == 0
    assert place.record()[-1]["outcome"] == "refused"
