"""Is it well, and how much has it done.

/healthz is open to everyone and says one word per part. /metrics names nobody and counts things;
it is open to this machine itself as long as no TLS edge stands in front (behind one, every
request comes from the edge), and otherwise to a signed-in person who may read metrics.
"""

from __future__ import annotations

from ipaddress import ip_address

from flask import Blueprint, Response, jsonify, make_response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from appliance.errors import ApplianceError, ForbiddenError
from appliance.identity.permissions import Permission, require
from appliance.web import cookies, current
from appliance.web.access import public
from appliance.web.refusals import refuse

api = Blueprint("health", __name__)


@api.get("/healthz")
@public("one word per part: nothing that helps an attacker")
def healthz() -> Response:
    """Answer 200 when every part answers, 503 otherwise.

    A full disk does not show here; `appliance doctor` names it.
    """
    parts = {"gateway": "ok", "ledger": _word(_ledger_is_well()), "engine": _word(_engine_ready())}
    is_well = set(parts.values()) == {"ok"}
    body = jsonify({"status": _word(is_well), "parts": parts})
    return make_response(body, 200 if is_well else 503)


@api.get("/metrics")
@public("checked inside: this machine itself without an edge, or a person who may read metrics")
def metrics() -> Response:
    if not _from_this_machine():
        _require_reader()
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def _ledger_is_well() -> bool:
    try:
        current.gateway().appliance.ledger.head()
    except ApplianceError:
        return False
    return True


def _engine_ready() -> bool:
    try:
        return current.operations().activation.can_answer()
    except ApplianceError:
        return False


def _word(is_well: bool) -> str:
    return "ok" if is_well else "degraded"


def _from_this_machine() -> bool:
    if current.config().gateway.behind_tls:
        return False
    try:
        return ip_address(current.source()).is_loopback
    except ValueError:
        return False


def _require_reader() -> None:
    token = cookies.read(cookies.SESSION)
    if not token:
        refuse(ForbiddenError("metrics are not open to this address", hint="sign in first"))
    actor, _ = current.operations().sessions.authenticate(token, current.source(), touch=False)
    try:
        require(actor, Permission.METRICS_READ)
    except ForbiddenError as error:
        refuse(error)
