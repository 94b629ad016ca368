"""Signing in and out, and the small check that keeps a session in use alive."""

from __future__ import annotations

from flask import (
    Blueprint,
    Response,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)

from appliance.errors import ApplianceError, LockedOutError, NotSignedInError
from appliance.identity.permissions import Permission
from appliance.web import cookies, current, errors
from appliance.web.access import allow, public
from appliance.web.security import anonymous_secret

pages = Blueprint("session", __name__)

REASONS = {
    "expired": "You were signed out because the session was idle or had reached its time limit.",
    "idle": "You were signed out because nothing was done for a while.",
    "ended": "This session was ended. Sign in again to go on.",
    "out": "You are signed out.",
    "password": "The password was changed. Sign in with the new one.",
}


@pages.get("/sign-in")
@public("the page where one proves who one is")
def sign_in() -> Response:
    return _form()


@pages.post("/sign-in")
@public("the request that proves who one is; its form carries a token of its own")
def sign_in_now() -> Response:
    try:
        signed_in = current.operations().sessions.sign_in(
            request.form.get("name", "").strip(),
            request.form.get("password", ""),
            current.source(),
        )
    except (NotSignedInError, LockedOutError) as error:
        return _form(error)
    response = make_response(redirect(_local(request.form.get("next", "")), 303))
    cookies.write(response, cookies.SESSION, signed_in.token)
    cookies.drop(response, cookies.ANONYMOUS)
    return response


@pages.post("/sign-out")
@allow(Permission.OWN_PASSWORD, with_initial_password=True)
def sign_out() -> Response:
    current.operations().sessions.sign_out(current.actor(), cookies.read(cookies.SESSION))
    response = make_response(redirect(url_for("session.sign_in", reason="out"), 303))
    cookies.drop(response, cookies.SESSION)
    return response


@pages.get("/session")
@allow(Permission.OWN_PASSWORD, with_initial_password=True)
def still_here() -> Response:
    """Tell a page whose person is typing that the session goes on; being called keeps it so."""
    return jsonify({"name": current.actor().name})


def _form(error: ApplianceError | None = None) -> Response:
    wanted = request.values.get("next", "")
    page = render_template(
        "sign_in.html",
        error=error,
        reason=REASONS.get(request.args.get("reason", "")),
        name=request.form.get("name", ""),
        next=wanted if _local(wanted) == wanted else "",
        csrf_secret=anonymous_secret(),
    )
    response = make_response(page, errors.status_of(error) if error else 200)
    if isinstance(error, LockedOutError):
        response.headers["Retry-After"] = str(error.retry_after)
    cookies.write(response, cookies.ANONYMOUS, anonymous_secret())
    return response


def _local(path: str) -> str:
    """Return the path when it lies on this appliance, the first page otherwise."""
    # Browsers read a backslash as a slash, so `/\host` would leave; control characters vanish.
    is_local = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if is_local and path.isprintable() else url_for("chat.home")
