"""The record, for the auditor: search it, verify it, export it. Nothing here changes it.

An entry shown is the stored one, every field of it; the record never held the text of a question
or an answer, so none can be shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from flask import Blueprint, Response, make_response, render_template, request, stream_with_context

from appliance.audit.actions import ACTIONS, Outcome
from appliance.audit.query import Page, Query
from appliance.errors import ApplianceError, BadInputError, BusyError, VerificationError
from appliance.identity.permissions import Permission
from appliance.identity.roles import Role
from appliance.web import current, errors
from appliance.web.access import allow
from appliance.web.refusals import refuse
from appliance.web.seats import Release

pages = Blueprint("record", __name__)

FILTERS = (
    "text", "user", "role", "action", "outcome", "model", "purpose", "source", "entity",
    "since", "until",
)  # fmt: skip
PAGE_SIZE = 50
MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv"}


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
    form = request.form.get("format", "")
    give_back = _seat()
    try:
        pieces = current.operations().records.export(current.actor(), form, _query(request.form))
        body = stream_with_context(_started(pieces))
    except BaseException:
        give_back()
        raise
    response = Response(body, mimetype=MEDIA_TYPES.get(form, "text/plain"))
    response.headers["Content-Disposition"] = f'attachment; filename="record.{form}"'
    response.call_on_close(give_back)
    return response


def _seat() -> Release:
    """Take a seat: reading the whole record holds a thread for as long as it takes."""
    try:
        return current.gateway().seats.record()
    except BusyError as error:
        refuse(error)


def _page(filters: Mapping[str, str], status: int = 200, **found: object) -> Response:
    page, error = Page((), None), None
    try:
        page = current.operations().records.search(current.actor(), _query(filters))
    except BadInputError as bad:
        error, status = bad, errors.status_of(bad)
    except ApplianceError:
        # A record that does not verify may not be readable either; the finding still shows.
        if not found:
            raise
    chosen = {name: filters[name] for name in FILTERS if filters.get(name)}
    html = render_template(
        "record.html",
        entries=page.entries,
        next_before=page.next_before,
        chosen=chosen,
        actions=sorted(ACTIONS),
        outcomes=[str(outcome) for outcome in Outcome],
        roles=[str(role) for role in Role],
        purposes=current.config().policy.purposes,
        error=error,
        **found,
    )
    return make_response(html, status)


def _query(filters: Mapping[str, str]) -> Query:
    chosen = {name: filters[name].strip() for name in FILTERS if filters.get(name, "").strip()}
    before = filters.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) <= 16):
        raise BadInputError("the page begins at no entry of the record")
    return Query(**chosen, before_seq=int(before) if before else None, limit=PAGE_SIZE)


def _started(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Return the pieces with the first one fetched, so that a failure still gets its own page."""
    first = next(pieces, b"")
    return chain((first,), pieces)
