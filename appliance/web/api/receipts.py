"""The receipt of an answer, for the program that asked for it."""

from __future__ import annotations

from flask import Blueprint, Response

from appliance.identity.permissions import Permission
from appliance.web import current
from appliance.web.access import allow
from appliance.web.api.described import Description, described
from appliance.web.files import proof

api = Blueprint("receipts_api", __name__, url_prefix="/v1")


@api.get("/receipts/<message:answer_id>")
@allow(Permission.RECEIPTS_OWN)
@described(Description("Prove an answer", reply="text/plain"))
def receipt(answer_id: str) -> Response:
    """Send the tlog-proof of an answer that the key's owner asked for."""
    found = current.operations().receipts.of_own_answer(current.actor(), answer_id)
    return proof(found.text, answer_id)
