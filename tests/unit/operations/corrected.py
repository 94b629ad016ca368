"""A record with answers in it, for the tests of what may be said of an entry later."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.assembly import Appliance, assemble
from appliance.audit.actions import Outcome
from appliance.audit.corrections import ACTION, Correction
from appliance.audit.entry import Agent
from appliance.audit.query import Query
from appliance.cli.actor import console_actor
from appliance.config import Config, load
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.operations import Operations, operations_for
from appliance.operations.recording import event_of, system
from tests.simulators.fresh_state import fresh_state
from tests.simulators.manual_clock import ManualClock
from tests.unit.operations.conftest import actor

DAY_S = 86_400.0
ANSWER = f"msg_{5:024x}"
SECOND = f"msg_{6:024x}"
SUBJECT = f"pat_{7:024x}"
AUDITOR = actor(Role.AUDITOR, "auditor")
WRONG = Correction("wrong-purpose", "treatment", "K-17/2026")
ROLES = [role for role in Role if role is not Role.SYSTEM]


@dataclass
class Site:
    """A state folder under a clock of its own, with its record open in this process."""

    config: Config
    clock: ManualClock
    appliance: Appliance
    verbs: Operations

    def append(
        self, action: str, outcome: Outcome = Outcome.SUCCESS, by: Actor | None = None, **said: Any
    ) -> int:
        event = event_of(by or system("gateway"), action, outcome, **said)
        return self.appliance.ledger.append(event).seq

    def answer(self, answer_id: str = ANSWER) -> int:
        """Record an answer about a patient; return the number of its outcome."""
        said: dict[str, Any] = {
            "entity": answer_id,
            "purpose": "research",
            "content": {"subject": SUBJECT},
        }
        self.append("answer.request", Outcome.INTENT, **said)
        return self.append("answer.complete", **said)

    def correct(self, seq: int, correction: Correction = WRONG) -> int:
        return self.verbs.corrections.correct(AUDITOR, seq, correction).by

    def forge(self, seq: int, leaf: str, entity: str | None = ANSWER) -> int:
        """Append what claims to correct an entry, as a stolen gateway could."""
        content = {"corrects": seq, "leaf": leaf, "reason": "other"}
        return self.append(ACTION, entity=entity, content=content)

    def entries(self, **filters: Any) -> list[dict[str, Any]]:
        page = self.appliance.ledger.search(Query(**filters, limit=1000))
        return list(reversed(page.entries))

    def stored(self, seq: int) -> bytes:
        with sqlite3.connect(self.config.paths.audit_db) as database:
            (data,) = database.execute("SELECT entry FROM entries WHERE seq = ?", [seq]).fetchone()
        database.close()
        return bytes(data)

    def prune(self) -> None:
        """Fill the record beyond its first 256 entries, and let go of those."""
        while self.append("user.list") < 300:
            pass
        agent = Agent(**AUDITOR.agent_fields())
        self.appliance.ledger.prune(256, agent, None, "schedule")


def opened(folder: Path) -> Iterator[Site]:
    """Make a state folder, and open its record until the test is over."""
    config = load(folder / "state", file=folder / "none", environment={})
    fresh_state(config, console_actor())
    clock = ManualClock()
    appliance = assemble(config, clock)
    yield Site(config, clock, appliance, operations_for(appliance))
    appliance.close()
