"""Holds, erasures and what is due, for the privacy officer. No page here shows any content.

A patient's reference is typed into a form and never into an address; it is not shown again after
it was used. Each form acts once, however often it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from appliance.conversations.retention import ALL, CONVERSATION, PATIENT, USER
from appliance.errors import ApplianceError, BadInputError, ConflictError, NotFoundError
from appliance.identity.permissions import Permission
from appliance.operations.readings import Reading
from appliance.operations.scopes import Wanted
from appliance.web import current, errors
from appliance.web.access import allow
from appliance.web.forms import once

pages = Blueprint("privacy", __name__)

WORD = "ERASE"
TOLD = (BadInputError, ConflictError, NotFoundError)
KINDS = {
    PATIENT: "Patient or encounter",
    USER: "Person (sign-in name)",
    CONVERSATION: "One chat (its id)",
}


@pages.get("/privacy")
@allow(Permission.CONTENT_HOLD)
def show() -> Response:
    return _page()


@pages.post("/privacy/hold")
@allow(Permission.CONTENT_HOLD)
def hold() -> Response:
    """Keep content from being erased."""
    actor, content = current.actor(), current.operations().content
    wanted, reason = _wanted({*KINDS, ALL}), request.form.get("reason", "")
    try:
        placed = once(lambda: content.hold(actor, wanted, reason).id)
    except TOLD as error:
        return _page(errors.status_of(error), problem_at="hold", error=error)
    return _back(placed)


@pages.post("/privacy/holds/<hold:hold_id>/release")
@allow(Permission.CONTENT_HOLD)
def release(hold_id: str) -> Response:
    """End a hold, for a reason."""
    actor, content = current.actor(), current.operations().content
    reason = request.form.get("reason", "")
    try:
        once(lambda: content.release(actor, hold_id, reason).id)
    except TOLD as error:
        return _page(errors.status_of(error), problem_at="holds", error=error)
    return _back(hold_id)


@pages.post("/privacy/erase")
@allow(Permission.CONTENT_ERASE)
def erase() -> Response:
    """Destroy the keys of what is kept about somebody; the word must have been typed."""
    actor, content = current.actor(), current.operations().content
    wanted, basis = _wanted(set(KINDS)), request.form.get("basis", "")
    try:
        if request.form.get("confirm", "").strip().upper() != WORD:
            raise BadInputError(
                "erasing cannot be undone, and it was not confirmed; nothing was erased",
                hint=f"type the word {WORD} into the last field",
            )
        erased = once(lambda: content.erase(actor, wanted, basis).id)
    except TOLD as error:
        return _page(errors.status_of(error), problem_at="erase", error=error)
    return _back(erased)


@pages.post("/privacy/find")
@allow(Permission.CONTENT_HOLD)
def find() -> Response:
    """Lead from a patient's number to the entries about them; the address has the pseudonym."""
    number = request.form.get("whose", "").strip()
    why = {name: request.form.get(name, "").strip() for name in ("reason", "case")}
    reading = Reading(why["reason"] or None, why["case"] or None)
    try:
        subject = current.operations().content.pseudonym(current.actor(), number, reading)
    except TOLD as error:
        return _page(errors.status_of(error), problem_at="find", error=error)
    asked = {"subject": subject, **{name: value for name, value in why.items() if value}}
    return make_response(redirect(f"{url_for('record.show')}?{urlencode(asked)}", 303))


@pages.post("/privacy/plan")
@allow(Permission.RETENTION)
def plan() -> Response:
    """Show what the schedule would erase now; looking is recorded."""
    due = current.operations().retention.plan(current.actor())
    return _page(plan=due)


@pages.get("/privacy/erasures/<erasure:erasure_id>/certificate.tlog-proof")
@allow(Permission.CONTENT_ERASE)
def certificate_file(erasure_id: str) -> Response:
    """Send the signed certificate as the file that a verifier reads."""
    found = current.operations().content.certificate(current.actor(), erasure_id)
    return _file(found.proof, f"{erasure_id}.tlog-proof")


@pages.get("/privacy/erasures/<erasure:erasure_id>/certificate.txt")
@allow(Permission.CONTENT_ERASE)
def certificate_text(erasure_id: str) -> Response:
    """Send the certificate in words, as a page to print."""
    found = current.operations().content.certificate(current.actor(), erasure_id)
    return _file(found.text, f"{erasure_id}.txt")


def _wanted(kinds: set[str]) -> Wanted:
    kind, text = request.form.get("kind", ""), request.form.get("whose", "").strip()
    # An operation refuses what does not exist; an unknown kind can only be a forged form.
    return Wanted(kind if kind in kinds else CONVERSATION, text)


def _page(status: int = 200, error: ApplianceError | None = None, **shown: object) -> Response:
    operations, actor = current.operations(), current.actor()
    holds, erasures = operations.content.holds(actor), operations.content.erasures(actor)
    people = [hold.placed_by for hold in holds] + [hold.scope.target for hold in holds]
    people += [erasure.person for erasure in erasures] + [erasure.target for erasure in erasures]
    page = render_template(
        "privacy.html",
        holds=[hold for hold in holds if hold.released is None],
        released=[hold for hold in holds if hold.released is not None],
        erasures=erasures,
        names=_names(people),
        kinds=KINDS,
        word=WORD,
        reasons=current.config().policy.record_purposes,
        schedule=operations.retention.schedule,
        error=error,
        form=request.form if error else {},
        **shown,
    )
    return make_response(page, status)


def _names(ids: Iterable[str]) -> dict[str, str]:
    """Return the sign-in names of the accounts among these ids."""
    people = current.gateway().appliance.people
    return {found: people.get(found).name for found in set(ids) if found.startswith("usr_")}


def _file(text: str, name: str) -> Response:
    response = make_response(text)
    response.mimetype = "text/plain"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _back(anchor: str) -> Response:
    return make_response(redirect(f"{url_for('privacy.show')}#{anchor}", 303))
