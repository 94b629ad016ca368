"""Accounts, for the administrator: add, disable, enable, unlock, reset."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from appliance.errors import ApplianceError, BadInputError, ConflictError
from appliance.identity.permissions import Permission
from appliance.identity.roles import ASSIGNABLE
from appliance.web import current, errors
from appliance.web.access import allow
from appliance.web.forms import once_secret

pages = Blueprint("people", __name__)


@pages.get("/people")
@allow(Permission.USERS_MANAGE)
def show() -> Response:
    return _page()


@pages.post("/people")
@allow(Permission.USERS_MANAGE)
def add() -> Response:
    """Add an account and show its first password this once."""
    actor, form = current.actor(), request.form
    try:
        user, password = once_secret(
            lambda: current.operations().people.add_user(
                actor,
                form.get("name", "").strip(),
                form.get("role", ""),
                form.get("display_name", "").strip(),
            )
        )
    except (BadInputError, ConflictError) as error:
        return _page(errors.status_of(error), error=error)
    return _page(name=user.name, password=password)


@pages.post("/people/<person:name>/disable")
@allow(Permission.USERS_MANAGE)
def disable(name: str) -> Response:
    current.operations().people.disable_user(current.actor(), name)
    return _back()


@pages.post("/people/<person:name>/enable")
@allow(Permission.USERS_MANAGE)
def enable(name: str) -> Response:
    current.operations().people.enable_user(current.actor(), name)
    return _back()


@pages.post("/people/<person:name>/unlock")
@allow(Permission.USERS_MANAGE)
def unlock(name: str) -> Response:
    current.operations().people.unlock_user(current.actor(), name)
    return _back()


@pages.post("/people/<person:name>/reset")
@allow(Permission.USERS_MANAGE)
def reset(name: str) -> Response:
    """Set a first password and show it this once."""
    actor = current.actor()
    password = once_secret(lambda: current.operations().people.reset_password(actor, name))
    return _page(name=name, password=password)


def _page(status: int = 200, error: ApplianceError | None = None, **shown: object) -> Response:
    page = render_template(
        "people.html",
        people=current.operations().people.list_users(current.actor()),
        roles=sorted(str(role) for role in ASSIGNABLE),
        now=current.gateway().appliance.clock.now(),
        error=error,
        form=request.form if error else {},
        **shown,
    )
    return make_response(page, status)


def _back() -> Response:
    return make_response(redirect(url_for("people.show"), 303))
