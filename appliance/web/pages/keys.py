"""Everyone's API keys, for whoever manages accounts: look and revoke."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, render_template, url_for

from appliance.identity.permissions import Permission
from appliance.web import current
from appliance.web.access import allow

pages = Blueprint("keys", __name__)


@pages.get("/keys")
@allow(Permission.KEYS_MANAGE)
def show() -> Response:
    people = current.operations().people
    keys = people.list_keys(current.actor())
    names = {user.id: user.name for user in people.list_users(current.actor())}
    return make_response(render_template("keys.html", keys=keys, names=names))


@pages.post("/keys/<key:key_id>/revoke")
@allow(Permission.KEYS_MANAGE)
def revoke(key_id: str) -> Response:
    current.operations().people.revoke_key(current.actor(), key_id)
    return make_response(redirect(url_for("keys.show"), 303))
