"""Correct an entry of the record: a later entry says what is right, and the first one stays.

The form stands under an opened entry on the record's page, and leads back to the same search.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, make_response, redirect, request, url_for

from appliance.audit.corrections import Correction
from appliance.identity.permissions import Permission
from appliance.web import current
from appliance.web.access import allow
from appliance.web.forms import once
from appliance.web.pages.receipts import LARGEST
from appliance.web.pages.record import filters_of, reason_of

pages = Blueprint("corrections", __name__)


@pages.post(f"/record/entries/<int(max={LARGEST}):seq>/correct")
@allow(Permission.RECORD_CORRECT)
def correct(seq: int) -> Response:
    """Append the correction, and show the search that the entry was found with again."""
    actor, form = current.actor(), request.form
    # Not `reason`, `purpose` and `case`: those are of the search that the form carries along.
    correction = Correction(
        form.get("wrong", ""),
        form.get("right_purpose", "").strip() or None,
        form.get("case_of_correction", "").strip() or None,
    )
    once(lambda: current.operations().corrections.correct(actor, seq, correction))
    values: dict[str, Any] = {**filters_of(form), **reason_of(form)}
    if form.get("before"):
        values["before"] = form["before"]
    return make_response(redirect(url_for("record.show", **values, _anchor=f"entry-{seq}"), 303))
