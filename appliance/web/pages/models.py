"""The models of this appliance: what there is, and the second person's agreement."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from appliance.identity.permissions import Permission
from appliance.operations.models import ASKING_ROLES
from appliance.web import current
from appliance.web.access import allow

pages = Blueprint("models", __name__)


@pages.get("/models")
@allow(Permission.MODELS_LIST)
def show() -> Response:
    operations, actor = current.operations(), current.actor()
    page = render_template(
        "models.html",
        models=operations.models.list(actor),
        publishers={known.id: known.name for known in operations.models.publishers(actor)},
        asking_roles=sorted(ASKING_ROLES),
    )
    return make_response(page)


@pages.post("/models/<model:name>/<version:version>/approve")
@allow(Permission.MODELS_APPROVE)
def approve(name: str, version: str) -> Response:
    roles = frozenset(request.form.getlist("roles"))
    current.operations().models.approve(current.actor(), name, version, roles)
    return _back()


@pages.post("/models/<model:name>/<version:version>/activate")
@allow(Permission.MODELS_ACTIVATE)
def activate(name: str, version: str) -> Response:
    current.operations().models.activate(current.actor(), name, version)
    return _back()


def _back() -> Response:
    return make_response(redirect(url_for("models.show"), 303))
