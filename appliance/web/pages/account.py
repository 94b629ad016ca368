"""A person's own account: password and API keys."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from appliance.errors import ApplianceError, BadInputError, ForbiddenError
from appliance.identity.permissions import Permission, may
from appliance.web import cookies, current, errors
from appliance.web.access import allow
from appliance.web.forms import once_secret

pages = Blueprint("account", __name__)


@pages.get("/account")
@allow(Permission.OWN_PASSWORD)
def show() -> Response:
    return _page()


@pages.get("/account/first-password")
@allow(Permission.OWN_PASSWORD, with_initial_password=True)
def first_password() -> Response:
    return make_response(render_template("first_password.html", error=None))


@pages.post("/account/password")
@allow(Permission.OWN_PASSWORD, with_initial_password=True)
def change_password() -> Response:
    """Change the password, then ask for it: every session of the account has ended."""
    form = request.form
    if form.get("new") != form.get("again"):
        twice = BadInputError("the new password was typed in two ways", hint="type it again")
        return _password_refused(twice)
    try:
        current.operations().people.change_password(
            current.actor(), form.get("old", ""), form.get("new", "")
        )
    except (BadInputError, ForbiddenError) as error:
        return _password_refused(error)
    response = make_response(redirect(url_for("session.sign_in", reason="password"), 303))
    cookies.drop(response, cookies.SESSION)
    return response


@pages.post("/account/keys")
@allow(Permission.OWN_KEYS)
def create_key() -> Response:
    """Make a key and show it this once; the same form sent twice makes one."""
    actor, label = current.actor(), request.form.get("label", "").strip()
    days = _days(request.form.get("days", ""))
    key, secret = once_secret(
        lambda: current.operations().people.create_key(actor, actor.name, label, days)
    )
    return _page(new_key=key, secret=secret)


@pages.post("/account/keys/<key:key_id>/revoke")
@allow(Permission.OWN_KEYS)
def revoke_key(key_id: str) -> Response:
    current.operations().people.revoke_key(current.actor(), key_id)
    return make_response(redirect(url_for("account.show"), 303))


def _page(status: int = 200, **shown: object) -> Response:
    actor = current.actor()
    has_keys = may(actor, Permission.OWN_KEYS)
    keys = current.operations().people.list_keys(actor, actor.name) if has_keys else []
    page = render_template(
        "account.html",
        keys=keys,
        has_keys=has_keys,
        longest_days=current.config().gateway.api_key_days,
        **shown,
    )
    return make_response(page, status)


def _password_refused(error: ApplianceError) -> Response:
    session = current.session()
    if session is not None and session.user.must_change_password:
        page = render_template("first_password.html", error=error)
        return make_response(page, errors.status_of(error))
    return _page(errors.status_of(error), error=error)


def _days(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise BadInputError("the number of days is not a number")
    return int(text)
