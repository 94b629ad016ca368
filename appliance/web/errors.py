"""One table from error class to HTTP status, and the one place where errors become responses.

A page gets a page and a program gets JSON, in OpenAI's shape or under /api in Ollama's. All carry
a reference id to quote to IT. A stack trace goes to no one: an unexpected error is logged as its
type and the places in the code it passed, because its message could quote what a
person wrote.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from urllib.parse import urlencode

import structlog
from flask import (
    Flask,
    Response,
    current_app,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from appliance import errors as known
from appliance.bundles.refusals import BundleError
from appliance.web import cookies, current, refusals
from appliance.web.security import API_PREFIXES

log = structlog.get_logger(__name__)

STATUS: Mapping[type[known.ApplianceError], int] = {
    known.ApplianceError: 500,
    known.BadInputError: 400,
    known.TooLargeError: 413,
    known.ContextOverflowError: 400,
    known.ConfigurationError: 500,
    known.NotInitialisedError: 503,
    known.NotFoundError: 404,
    known.CertificateError: 409,
    known.ConflictError: 409,
    known.NotSignedInError: 401,
    known.ForbiddenError: 403,
    known.ForgedRequestError: 403,
    known.LockedOutError: 429,
    known.VerificationError: 500,
    known.UnavailableError: 503,
    known.RecordUnavailableError: 503,
    known.EngineUnavailableError: 503,
    known.EngineDownError: 503,
    known.DiskFullError: 507,
    known.BusyError: 429,
    known.AnswerTimeoutError: 504,
    known.SessionExpiredError: 401,
    BundleError: 422,
}
OLLAMA_PREFIX = "/api/"
# What OpenAI's clients expect in `error.type`.
OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error",
                429: "rate_limit_error"}  # fmt: skip
# OpenAI's clients wait as long as Retry-After says before they try again.
BUSY_RETRY_S = 5
PLAIN_WORDS = {
    404: ("there is no such page", "check the address"),
    405: ("this page does not take that kind of request", "go back and try again"),
    415: ("this form of content is not taken here", "send JSON"),
}


def install(app: Flask) -> None:
    """Answer every error in the way that its caller understands."""
    app.register_error_handler(known.ApplianceError, respond)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(Exception, _unexpected)


def status_of(error: known.ApplianceError) -> int:
    """Return the HTTP status of the error's class, or of the nearest class above it."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def respond(error: known.ApplianceError) -> Response:
    """Turn an error into the response for this caller."""
    if isinstance(error, known.NotSignedInError) and not wants_json():
        return _to_sign_in(error)
    response = _render(error, status_of(error))
    if isinstance(error, known.LockedOutError):
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, known.BusyError):
        response.headers["Retry-After"] = str(BUSY_RETRY_S)
    if isinstance(error, known.NotSignedInError) and is_api():
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def openai_body(error: known.ApplianceError, status: int) -> dict[str, object]:
    """Return the error as OpenAI's API would shape it, with the hint in the message."""
    fallback = "server_error" if status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": f"{error.message}: {error.hint}",
            "type": OPENAI_TYPES.get(status, fallback),
            "param": None,
            "code": error.code,
            "reference": current.reference(),
        }
    }


def ollama_body(error: known.ApplianceError) -> dict[str, object]:
    """Return the error as Ollama's API would shape it; code and reference are ours."""
    return {
        "error": f"{error.message}: {error.hint}",
        "code": error.code,
        "reference": current.reference(),
    }


def is_api() -> bool:
    """Tell whether this request came under a path of the API for programs."""
    return request.path.startswith(API_PREFIXES)


def _body(error: known.ApplianceError, status: int) -> dict[str, object]:
    if request.path.startswith(OLLAMA_PREFIX):
        return ollama_body(error)
    return openai_body(error, status)


def wants_json() -> bool:
    """Tell whether the caller is a program: the API, or a script of our own pages."""
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    return is_api() or request.path in {"/metrics", "/healthz"} or best == "application/json"


def _render(error: known.ApplianceError, status: int) -> Response:
    if wants_json() or _without_addresses():
        return make_response(jsonify(_body(error, status)), status)
    page = render_template("error.html", error=error, status=status)
    return make_response(page, status)


def _without_addresses() -> bool:
    """Tell whether this request's host name made it impossible to build links for a page."""
    try:
        return current_app.create_url_adapter(request) is None
    except HTTPException:
        return True


def _to_sign_in(error: known.NotSignedInError) -> Response:
    asked: dict[str, str] = {}
    if isinstance(error, known.SessionExpiredError):
        asked["reason"] = "expired"
    elif cookies.read(cookies.SESSION):
        asked["reason"] = "ended"
    if request.method == "GET" and request.path != "/":
        asked["next"] = request.full_path.rstrip("?")
    address = url_for("session.sign_in") + (f"?{urlencode(asked)}" if asked else "")
    response = make_response(redirect(address, 303))
    # A link on another site brings no SameSite=Strict cookie; the session behind it lives on.
    if cookies.read(cookies.SESSION):
        cookies.drop(response, cookies.SESSION)
    return response


def _from_http(error: HTTPException) -> Response:
    status = error.code or 500
    if isinstance(error, RequestEntityTooLarge):
        limit = current.config().gateway.max_body_bytes
        refused = known.TooLargeError(f"a request may have {limit} bytes, this one has more")
        refusals.note(refused)
        return _render(refused, status)
    if status in {301, 302, 303, 307, 308}:
        return make_response(error.get_response())
    words, hint = PLAIN_WORDS.get(status, ("the request could not be read", "try again"))
    kind = known.NotFoundError if status == 404 else known.BadInputError
    if status not in {404, 405}:
        refusals.note(kind(words))
    response = _render(kind(words, hint=hint), status)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))  # RFC 9110, 15.5.6
    return response


def _unexpected(error: Exception) -> Response:
    frames = traceback.extract_tb(error.__traceback__)
    log.error(
        "unexpected error",
        reference=current.reference(),
        kind=type(error).__name__,
        path=[f"{frame.filename}:{frame.lineno}" for frame in frames[-12:]],
    )
    hidden = known.ApplianceError(
        "something went wrong on the appliance", hint="try again; call IT if it happens twice"
    )
    return _render(hidden, 500)
