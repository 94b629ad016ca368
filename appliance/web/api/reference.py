"""The API's own description: for programs at /v1/openapi.json, for people as a page.

The document is the same on every machine of a release and gives nothing of the site away. It
needs a key all the same: under /v1 the guard knows no exception, and whoever writes a program
against this machine has one. People read the page with their session.
"""

from __future__ import annotations

from importlib.metadata import version

from flask import Blueprint, Response, current_app, jsonify, make_response, render_template

from appliance.identity.permissions import Permission
from appliance.web.access import allow
from appliance.web.api import openapi
from appliance.web.api.described import JSON, Description, described

api = Blueprint("api_description", __name__, url_prefix="/v1")
pages = Blueprint("api_reference", __name__)


@api.get("/openapi.json")
@allow(Permission.ASK)
@described(Description("Describe this API", reply=JSON))
def description() -> Response:
    """Return this document."""
    return _document()


@pages.get("/api-reference")
@allow(Permission.MODELS_LIST)
def page() -> Response:
    """Show the API's routes, the fields each takes, and what it answers."""
    made = openapi.document(current_app, version("appliance"))
    return make_response(render_template("api_reference.html", routes=openapi.routes(made)))


@pages.get("/api-reference/openapi.json")
@allow(Permission.MODELS_LIST)
def download() -> Response:
    """Return the same document to a person's browser."""
    return _document()


def _document() -> Response:
    return jsonify(openapi.document(current_app, version("appliance")))
