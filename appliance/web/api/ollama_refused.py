"""Everything else under /api: Ollama's ways to manage models, refused to everyone and recorded.

Whatever a later Ollama adds is refused in the same way, since what is not listed is closed.
"""

from __future__ import annotations

from flask import Blueprint, Response, abort, current_app, request

from appliance.identity.permissions import Permission
from appliance.web import current
from appliance.web.access import allow
from appliance.web.api.described import Description, described

api = Blueprint("ollama_refused", __name__, url_prefix="/api")

# The words that the record may hold; anything else is "other", as it was typed by somebody.
KNOWN = ("pull", "push", "create", "copy", "delete", "blobs", "signin", "signout", "me",
         "web_search", "web_fetch", "experimental")  # fmt: skip
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


@api.route("/<wish:wish>", methods=METHODS)
@allow(Permission.ASK)
@described(Description("Manage models (Ollama): always refused", status=403))
def refused(wish: str) -> Response:
    """Refuse to pull, push, create, copy or delete models, and whatever else Ollama has."""
    if request.path in _answered():
        abort(405)
    word = wish.lstrip("/").partition("/")[0]
    stated = f"{request.method} {word if word in KNOWN else 'other'}"
    current.operations().managing_models_refusal.refuse(current.actor(), stated)


def _answered() -> set[str]:
    """Return the paths that do answer, to another method."""
    return {
        rule.rule
        for rule in current_app.url_map.iter_rules()
        if rule.rule.startswith("/api/") and not rule.arguments
    }
