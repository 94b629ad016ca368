"""The newest checkpoint on one sheet for the ward's logbook, and as a file.

Each is a new one, over everything recorded so far, and that it was handed out is recorded.
"""

from __future__ import annotations

import base64

from flask import Blueprint, Response, make_response, render_template
from markupsafe import Markup

from appliance.audit import qr
from appliance.audit.anchor_file import name_of
from appliance.audit.checkpoint import SignedCheckpoint
from appliance.clock import rfc3339
from appliance.identity.permissions import Permission
from appliance.operations.anchors import FILE, PAGE
from appliance.web import current
from appliance.web.access import allow
from appliance.web.files import attachment

pages = Blueprint("anchors", __name__)


@pages.get("/record/checkpoint")
@allow(Permission.RECORD_ANCHOR)
def show() -> Response:
    """Show a sheet to print: the checkpoint as words, as a QR code, and lines to sign on."""
    issued = current.operations().anchors.checkpoint(current.actor(), PAGE)
    signature = SignedCheckpoint.parse(issued.note).signatures[0]
    page = render_template(
        "anchor.html",
        checkpoint=issued.checkpoint,
        root=base64.b64encode(issued.checkpoint.root).decode(),
        key_id=signature.key_id.hex(),
        note=issued.note,
        # Drawn here from a note of our own: modules and numbers, no text of anybody's.
        code=Markup(qr.svg_element(issued.note)),  # noqa: S704
        issued_at=rfc3339(current.gateway().appliance.clock.now())[:19].replace("T", " "),
    )
    return make_response(page)


@pages.get("/record/checkpoint/file")
@allow(Permission.RECORD_ANCHOR)
def file() -> Response:
    """Send the newest checkpoint as a file to keep."""
    issued = current.operations().anchors.checkpoint(current.actor(), FILE)
    return attachment(issued.note, name_of(issued.checkpoint), "text/plain")
