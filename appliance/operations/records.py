"""The auditor's verbs: search, verify, export. Reading the record is itself recorded first."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Generator, Iterable, Mapping
from typing import Any

from appliance.assembly import Appliance
from appliance.audit.actions import ACTIONS, Outcome
from appliance.audit.ledger import FORMATS, VerifiedRecord
from appliance.audit.query import Page, Query
from appliance.errors import ApplianceError, BadInputError, NotFoundError
from appliance.identity.permissions import Actor, Permission, require
from appliance.identity.roles import Role
from appliance.operations import readings
from appliance.operations.readings import Reading
from appliance.operations.recording import Recorder, identifier
from appliance.operations.refusals import Refusals
from appliance.operations.sessions import anonymous

WITHHELD = "(withheld)"
ACCOUNT = "usr_"


class Records:
    """What may be done with the record: everything but changing it."""

    def __init__(self, appliance: Appliance, refusals: Refusals) -> None:
        self._ledger = appliance.ledger
        self._people = appliance.people
        self._recorder = Recorder(appliance.ledger)
        self._refusals = refusals
        self._policy = appliance.config.policy

    def search(
        self, actor: Actor, query: Query, purpose: str | None = None, case: str | None = None
    ) -> Page:
        """Return matching entries, newest first; filters and count are recorded, not results.

        `purpose` says why the record is read, `case` under which number. A privacy officer must
        give a purpose each time; without it nothing is searched, and BadInputError is raised.
        """
        self._recorder.authorise(actor, Permission.RECORD_READ, "record.read")
        reading = Reading(purpose, case)
        try:
            readings.check(self._policy, actor, reading)
            _check_words(query)
        except BadInputError as error:
            self._recorder.refuse(actor, "record.read", error)
            raise
        page = self._ledger.search(query)
        self._recorder.note(
            actor,
            "record.read",
            Outcome.SUCCESS,
            purpose=purpose,
            content={
                "filters": self._stated(query),
                "count": len(page.entries),
                **reading.facts(),
            },
        )
        return page

    def account(self, actor: Actor, name: str) -> str:
        """Return the id that the record has for a user's name; any other text as it is."""
        require(actor, Permission.RECORD_READ)
        person = self._people.by_name(name)
        return name if person is None else person.id

    def names(self, actor: Actor, entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """Return the user name of every account that these entries are by or about, by its id."""
        require(actor, Permission.RECORD_READ)
        ids: set[str] = set()
        for entry in entries:
            ids |= {entry["agent"]["user"], entry["entity"] or ""}
        found: dict[str, str] = {}
        for user_id in sorted(item for item in ids if item.startswith(ACCOUNT)):
            with contextlib.suppress(NotFoundError):
                found[user_id] = self._people.get(user_id).name
        return found

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
        self._recorder.note(actor, "record.verify", Outcome.SUCCESS, content=verified.facts())
        return verified

    def export(self, actor: Actor, form: str, query: Query) -> Generator[bytes, None, None]:
        """Return the export in pieces; the intent is durable before the first one is made.

        Whoever never asks for a piece exported nothing, and leaves no intent.
        """
        self._recorder.authorise(actor, Permission.RECORD_EXPORT, "record.export")
        if form not in FORMATS:
            error = BadInputError(
                "there is no such export format", hint=f"choose one of {', '.join(FORMATS)}"
            )
            self._recorder.refuse(actor, "record.export", error)
            raise error
        _check_words(query)
        facts = {"format": form, "filters": self._stated(query)}
        return self._pieces(actor, form, query, facts)

    def _pieces(
        self, actor: Actor, form: str, query: Query, facts: Mapping[str, Any]
    ) -> Generator[bytes, None, None]:
        self._recorder.note(actor, "record.export", Outcome.INTENT, content=facts)
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
            "purpose": {*self._policy.purposes, *self._policy.record_purposes},
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


def _check_words(query: Query) -> None:
    """Raise BadInputError for a word of no list: what it finds, nothing, would be believed."""
    lists: dict[str, Iterable[str]] = {"action": ACTIONS, "outcome": Outcome, "role": Role}
    for name, words in lists.items():
        value = getattr(query, name)
        if value is not None and value not in set(words):
            near = difflib.get_close_matches(value, list(words), n=3) or sorted(words)
            raise BadInputError(
                f"there is no {name} of this name", hint=f"is it one of {', '.join(near)}?"
            )
