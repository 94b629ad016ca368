"""The record, for the auditor and the privacy officer: search it, verify it, export it.

Nothing here changes it; a correction is a later entry (`corrections.py`). An entry shown is the
stored one, every field of it; the record never held the text of a question or an answer, so none
can be shown. Every page is one search of `PAGE_SIZE` entries and one for what corrects them, and
nothing counts or walks the rest, so a long record pages like a short one.

A privacy officer states a purpose with each search; until then the page is only a form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, stream_with_context

from appliance.audit.actions import ACTIONS, Outcome
from appliance.audit.corrections import REASONS, claim
from appliance.audit.ledger import FORMATS
from appliance.audit.query import Page, Query
from appliance.errors import ApplianceError, BadInputError, BusyError, VerificationError
from appliance.identity.permissions import Permission
from appliance.identity.roles import Role
from appliance.operations.readings import must_say_why
from appliance.web import current, errors
from appliance.web.access import allow
from appliance.web.files import attachment
from appliance.web.refusals import refuse
from appliance.web.seats import Release

pages = Blueprint("record", __name__)

FILTERS = (
    "text", "user", "role", "action", "outcome", "model", "purpose", "subject", "source",
    "entity", "since", "until",
)  # fmt: skip
# Why the record is read; not filters, and never saved with a search.
REASON = ("reason", "case")
PAGE_SIZE = 50


@dataclass(frozen=True)
class Form:
    """One export format: what it is in words, its media type, the ending of its file."""

    words: str
    media_type: str = "application/x-tar"
    ending: str = "tar"


FORMS: Mapping[str, Form] = {
    "ndjson": Form("NDJSON: the exact bytes that were hashed", "application/x-ndjson", "ndjson"),
    "tiles": Form("Tiles: the whole record with its proofs, for a verifier", ending="tar"),
    "csv": Form("CSV: a table for a spreadsheet", "text/csv", "csv"),
    "fhir": Form(
        "FHIR R4: AuditEvent, for a clinical archive", "application/fhir+ndjson", "ndjson"
    ),
    "syslog": Form("Syslog: RFC 5424 lines, for a log server", "text/plain", "log"),
    "cef": Form("CEF: for a security console", "text/plain", "cef"),
    "ocsf": Form("OCSF: for a security data lake", "application/x-ndjson", "ndjson"),
    "otlp": Form("OTLP: logs for an OpenTelemetry collector", "application/x-ndjson", "ndjson"),
}


@pages.get("/record")
@allow(Permission.RECORD_READ)
def show() -> Response:
    """Search the record by filters; the newest entries come first."""
    return _page(request.args)


@pages.post("/record/verify")
@allow(Permission.RECORD_VERIFY)
def verify() -> Response:
    """Verify the whole record now and show what was found."""
    give_back = _seat()
    try:
        verified = current.operations().records.verify(current.actor())
    except VerificationError as error:
        return _page({}, errors.status_of(error), tampered=error)
    finally:
        give_back()
    return _page({}, verified=verified)


@pages.post("/record/export")
@allow(Permission.RECORD_EXPORT)
def export() -> Response:
    """Send the entries that match the filters as a file."""
    name = request.form.get("format", "")
    give_back = _seat()
    try:
        pieces = current.operations().records.export(current.actor(), name, _query(request.form))
        body = stream_with_context(_started(pieces))
    except BaseException:
        give_back()
        raise
    form = FORMS.get(name, Form(name))
    file = f"record.{form.ending}" if name == form.ending else f"record-{name}.{form.ending}"
    response = attachment(body, file, form.media_type)
    response.call_on_close(give_back)
    return response


def filters_of(values: Mapping[str, str]) -> dict[str, str]:
    """Return the filters that are set among the fields of a form or an address."""
    return {name: values[name].strip() for name in FILTERS if values.get(name, "").strip()}


def reason_of(values: Mapping[str, str]) -> dict[str, str]:
    """Return why the record is read, as far as that is stated."""
    return {name: values[name].strip() for name in REASON if values.get(name, "").strip()}


def _seat() -> Release:
    """Take a seat: reading the whole record holds a thread for as long as it takes."""
    try:
        return current.gateway().seats.record()
    except BusyError as error:
        refuse(error)


def _page(values: Mapping[str, str], status: int = 200, **found: object) -> Response:
    actor, reason = current.actor(), reason_of(values)
    page, error, asks_why = Page((), None), None, must_say_why(actor)
    marks: dict[int, int] | None = {}
    searched = bool(reason) or not asks_why
    try:
        if searched:
            page = _searched(values, reason)
            marks = current.operations().corrections.marks(actor, page.entries)
    except BadInputError as bad:
        error, status = bad, errors.status_of(bad)
    except ApplianceError:
        # A record that does not verify may not be readable either; the finding still shows.
        if not found:
            raise
    html = render_template(
        "record.html",
        page=page,
        back_to=page.next_before if len(page.entries) < PAGE_SIZE else None,
        names=current.operations().records.names(actor, page.entries),
        marks=marks,
        originals=_originals(page),
        chosen=filters_of(values),
        reason=reason,
        kept={**filters_of(values), **reason},
        searched=searched,
        asks_why=asks_why,
        saved=current.operations().searches.list(actor),
        forms=_forms(values),
        error=error,
        **_choices(),
        **found,
    )
    return make_response(html, status)


def _forms(values: Mapping[str, str]) -> dict[str, str]:
    """Return the formats to choose from; tiles prove the whole record, so a part has none."""
    names = [name for name in FORMATS if name != "tiles" or not filters_of(values)]
    return {name: FORMS.get(name, Form(name)).words for name in names}


def _originals(page: Page) -> dict[int, int]:
    """Return which of these entries are corrections, each with the entry that it names."""
    said = {entry["seq"]: claim(entry) for entry in page.entries}
    return {seq: named[0] for seq, named in said.items() if named is not None}


def _choices() -> dict[str, Any]:
    policy = current.config().policy
    purposes = current.operations().corrections.purposes
    return {
        "actions": sorted(ACTIONS),
        "outcomes": [str(outcome) for outcome in Outcome],
        "roles": [str(role) for role in Role],
        "purposes": purposes,
        "reasons": list(policy.record_purposes),
        "corrections": {"reasons": REASONS, "purposes": purposes},
    }


def _searched(values: Mapping[str, str], reason: Mapping[str, str]) -> Page:
    return current.operations().records.search(
        current.actor(), _query(values), purpose=reason.get("reason"), case=reason.get("case")
    )


def _query(values: Mapping[str, str]) -> Query:
    chosen = filters_of(values)
    if "user" in chosen:
        chosen["user"] = current.operations().records.account(current.actor(), chosen["user"])
    before = values.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) <= 16):
        raise BadInputError("the page begins at no entry of the record")
    return Query(**chosen, before_seq=int(before) if before else None, limit=PAGE_SIZE)


def _started(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Return the pieces with the first one fetched, so that a failure still gets its own page."""
    first = next(pieces, b"")
    return chain((first,), pieces)
