"""Looks for a way out, and writes down what was found: by hand, and every day by itself.

What another part of the stack saw, which has no way to the record, is taken in here as well. The
entry names what is open and holds the report's digest; with its receipt the report is signed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from appliance.airgap import looking
from appliance.airgap.report import Report
from appliance.airgap.stack import Role
from appliance.audit.actions import Outcome
from appliance.audit.ledger import Ledger
from appliance.audit.query import Query
from appliance.clock import Clock
from appliance.errors import ApplianceError, UnavailableError
from appliance.identity.permissions import Actor, Permission
from appliance.operations.recording import Recorder, system

log = structlog.get_logger(__name__)

ACTION = "airgap.check"
AGAIN_AFTER_NS = 3_600 * 1_000_000_000
REMEMBER_AFTER_NS = 600 * 1_000_000_000
# Not to know is not to be closed.
UNSEEN = "it could not be looked at"
# Each part of a stack leaves one entry a day, and people a few.
LOOKED_THROUGH = 100
Look = Callable[[Role, float, int | None], Report]


@dataclass(frozen=True)
class Recorded:
    """A report, and the number of the entry that holds its digest."""

    report: Report
    seq: int


class AirGap:
    """What may be done. `role` is this part's own, '' where it is no part of a stack."""

    def __init__(self, ledger: Ledger, clock: Clock, role: str, look: Look = looking.look) -> None:
        self._ledger, self._clock, self._look = ledger, clock, look
        self._recorder = Recorder(ledger)
        self._role = role
        self._actor = system("airgap")
        self._day = ""
        self._again_ns: int | None = None
        self._remembered_ns: int | None = None
        # By role, what was open when it was last looked at, newest look first.
        self._known: dict[str, tuple[str, ...]] = {}

    def check(self, actor: Actor, role: Role, process: int | None = None) -> Recorded:
        """Look now, and record it. Raises UnavailableError when one cannot look."""
        self._recorder.authorise(actor, Permission.AIRGAP_CHECK, ACTION)
        return self._check(actor, role, process)

    def take(self, actor: Actor, report: Report) -> Recorded:
        """Record what a part saw that has no way to the record."""
        self._recorder.authorise(actor, Permission.AIRGAP_CHECK, ACTION)
        return self._note(actor, report, way="collected")

    def prove(self, recorded: Recorded) -> str:
        """Return the receipt (`.tlog-proof`) that signs the report's entry."""
        return self._ledger.prove(recorded.seq)

    def run_due(self) -> Recorded | None:
        """Look once a day (UTC) where this is the gateway of a stack; for the caretaker."""
        if self._role != Role.GATEWAY:
            return None
        self._remember()
        if not self._is_due():
            return None
        try:
            done = self._check(self._actor, Role.GATEWAY, None)
        except ApplianceError:
            self._again_ns = self._clock.monotonic_ns() + AGAIN_AFTER_NS
            raise
        self._day, self._again_ns = self._today(), None
        if not done.report.is_closed:
            log.warning("there is a way out", open=list(done.report.ways_out))
        return done

    def ways_out(self) -> list[str]:
        """Return what was open when each part was last looked at; quick, for every page."""
        return [f"{role}: {way}" for role, ways in sorted(self._known.items()) for way in ways]

    def last(self) -> dict[str, dict[str, Any]]:
        """Return the newest entry's facts for each part that was ever looked at, with its time."""
        newest: dict[str, dict[str, Any]] = {}
        for outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            query = Query(action=ACTION, outcome=str(outcome), limit=LOOKED_THROUGH)
            for entry in self._ledger.search(query).entries:
                facts = {**(entry["content"] or {}), "seq": entry["seq"], "t": entry["t"]}
                role = str(facts.get("role", ""))
                # What is open elsewhere says nothing about a stack.
                if (
                    role not in {"", Role.MACHINE}
                    and facts["seq"] > newest.get(role, {"seq": -1})["seq"]
                ):
                    newest[role] = facts
        return newest

    def _check(self, actor: Actor, role: Role, process: int | None) -> Recorded:
        self._recorder.note(actor, ACTION, Outcome.INTENT, content={"role": str(role)})
        try:
            report = self._look(role, self._clock.now(), process)
        except (OSError, ValueError) as error:
            failed = UnavailableError(
                f"the air gap cannot be looked at: {getattr(error, 'strerror', None) or error}",
                hint="run it as root, or as the user of the process; is it still there?",
            )
            self._recorder.note(
                actor, ACTION, Outcome.FAILURE,
                content={
                    "role": str(role), "closed": False, "open": [UNSEEN], "code": failed.code
                },
            )  # fmt: skip
            self._known[str(role)] = (UNSEEN,)
            raise failed from error
        return self._note(actor, report)

    def _note(self, actor: Actor, report: Report, **more: str) -> Recorded:
        outcome = Outcome.SUCCESS if report.is_closed else Outcome.FAILURE
        receipt = self._recorder.note(actor, ACTION, outcome, content={**report.facts(), **more})
        self._known[str(report.role)] = report.ways_out
        return Recorded(report, receipt.seq)

    def _is_due(self) -> bool:
        now = self._clock.monotonic_ns()
        if self._again_ns is not None and now < self._again_ns:
            return False
        return self._day != self._today()

    def _remember(self) -> None:
        """Learn from the record what others found, and what was found before this process began."""
        now = self._clock.monotonic_ns()
        if self._remembered_ns is not None and now - self._remembered_ns < REMEMBER_AFTER_NS:
            return
        self._remembered_ns = now
        with contextlib.suppress(ApplianceError):
            for role, facts in self.last().items():
                self._known[role] = tuple(facts.get("open", ()))
                # A look that failed is made again today.
                if role == self._role and "code" not in facts:
                    self._day = str(facts["t"][:10])

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock.now(), tz=UTC).strftime("%Y-%m-%d")
