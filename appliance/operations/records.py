"""The auditor's verbs: search, verify, export. Reading the record is itself recorded first."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from typing import Any

from appliance.assembly import Appliance
from appliance.audit.actions import ACTIONS, Outcome
from appliance.audit.ledger import FORMATS, VerifiedRecord
from appliance.audit.query import Page, Query
from appliance.errors import ApplianceError, BadInputError
from appliance.identity.permissions import Actor, Permission
from appliance.identity.roles import Role
from appliance.operations.recording import Recorder, identifier
from appliance.operations.refusals import Refusals
from appliance.operations.sessions import anonymous

WITHHELD = "(withheld)"


class Records:
    """What may be done with the record: everything but changing it."""

    def __init__(self, appliance: Appliance, refusals: Refusals) -> None:
        self._ledger = appliance.ledger
        self._recorder = Recorder(appliance.ledger)
        self._refusals = refusals
        self._purposes = appliance.config.policy.purposes

    def search(self, actor: Actor, query: Query) -> Page:
        """Return matching entries, newest first; filters and count are recorded, not results."""
        self._recorder.authorise(actor, Permission.RECORD_READ, "record.read")
        page = self._ledger.search(query)
        self._recorder.note(
            actor,
            "record.read",
            Outcome.SUCCESS,
            content={"filters": self._stated(query), "count": len(page.entries)},
        )
        return page

    def verify(self, actor: Actor) -> VerifiedRecord:
        """Verify the whole record; raises TamperedError naming the first bad entry."""
        self._recorder.authorise(actor, Permission.RECORD_VERIFY, "record.verify")
        try:
            verified = self._ledger.verify()
        except ApplianceError as error:
            self._recorder.note(
                actor, "record.verify", Outcome.FAILURE, content={"code": error.code}
            )
            raise
        self._recorder.note(
            actor, "record.verify", Outcome.SUCCESS, content={"entries": verified.entries}
        )
        return verified

    def export(self, actor: Actor, form: str, query: Query) -> Generator[bytes, None, None]:
        """Yield the export in pieces; the intent is durable before the first byte leaves."""
        self._recorder.authorise(actor, Permission.RECORD_EXPORT, "record.export")
        if form not in FORMATS:
            error = BadInputError(f"there is no format {form}", hint="choose ndjson or csv")
            self._recorder.refuse(actor, "record.export", error)
            raise error
        facts = {"format": form, "filters": self._stated(query)}
        self._recorder.note(actor, "record.export", Outcome.INTENT, content=facts)
        return self._pieces(actor, form, query, facts)

    def _pieces(
        self, actor: Actor, form: str, query: Query, facts: Mapping[str, Any]
    ) -> Generator[bytes, None, None]:
        sent, outcome = 0, Outcome.FAILURE
        try:
            for piece in self._ledger.export(form, query):
                yield piece
                sent += len(piece)
            outcome = Outcome.SUCCESS
        finally:
            self._recorder.note(actor, "record.export", outcome, content={**facts, "bytes": sent})

    def _stated(self, query: Query) -> dict[str, Any]:
        """Return which filters were used; typed text may be a patient's name, so it is withheld."""
        known: dict[str, set[Any]] = {
            "role": set(Role),
            "action": set(ACTIONS),
            "outcome": set(Outcome),
            "purpose": set(self._purposes),
        }
        stated = query.to_json()
        for name, value in stated.items():
            if isinstance(value, str) and name not in {"since", "until"}:
                plain = value in known.get(name, ()) or identifier(value) is not None
                stated[name] = value if plain else WITHHELD
        return stated

    def note_refusal(
        self, actor: Actor | None, source: str, error: ApplianceError, where: str
    ) -> None:
        """Record a request that was refused before it became an operation (`where`: its route)."""
        # A refusal stands even when the record is away: nothing was done.
        with contextlib.suppress(ApplianceError):
            self._refusals.note(actor or anonymous(source), "request.refuse", error, route=where)
