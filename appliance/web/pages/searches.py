"""Saved searches of the record: save the filters at hand under a name, forget one again.

They are listed on the record's page; opening one is a search like any other.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, make_response, redirect, request, url_for

from appliance.identity.permissions import Permission
from appliance.web import current
from appliance.web.access import allow
from appliance.web.forms import once
from appliance.web.pages.record import filters_of, reason_of

pages = Blueprint("searches", __name__)


@pages.post("/record/searches")
@allow(Permission.RECORD_READ)
def save() -> Response:
    """Keep the filters of the form, and show their search again."""
    actor, filters = current.actor(), filters_of(request.form)
    once(lambda: current.operations().searches.save(actor, request.form.get("name", ""), filters))
    values: dict[str, Any] = {**filters, **reason_of(request.form)}
    return make_response(redirect(url_for("record.show", **values), 303))


@pages.post("/record/searches/<search:search_id>/delete")
@allow(Permission.RECORD_READ)
def delete(search_id: str) -> Response:
    current.operations().searches.delete(current.actor(), search_id)
    return make_response(redirect(url_for("record.show"), 303))
