"""The guard before every view. In this order:

1. the Host header names this appliance (against DNS rebinding);
2. the view has declared who may call it, otherwise nobody may;
3. the body has a form that is never written to disk;
4. the caller proves who it is: an API key under /v1/ and /api/ and nothing else there, a
   session cookie on pages and nothing else there;
5. a request that changes something comes from our own page (Sec-Fetch-Site, Origin) and carries
   the synchroniser token of its session;
6. the actor holds the permission that the view names.

Not here: rate limits by volume (the edge does that), and what an actor may do to which thing
(operations).
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from urllib.parse import urlsplit

from flask import current_app, g, redirect, request, url_for
from flask.typing import ResponseReturnValue

from appliance.clock import new_id
from appliance.config import Gateway
from appliance.errors import (
    BadInputError,
    ForbiddenError,
    ForgedRequestError,
    NotSignedInError,
)
from appliance.identity.permissions import may
from appliance.identity.sessions import csrf_token, new_token
from appliance.web import cookies, current
from appliance.web.access import Access, access_of
from appliance.web.refusals import refuse

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# OpenAI's API and Ollama's.
API_PREFIXES = ("/v1/", "/api/")
FORM_FIELD = "csrf"
HEADER = "X-CSRF-Token"


def guard() -> ResponseReturnValue | None:
    """Let the request through to its view, answer in its place, or raise."""
    g.reference = new_id("req")[:16]
    _check_host()
    if request.routing_exception is not None:
        return None
    access = access_of(current_app.view_functions.get(request.endpoint or ""))
    if access is None:
        refuse(ForbiddenError("this page is not open to anyone"))
    _check_body()
    if request.path.startswith(API_PREFIXES):
        _authenticate_key()
    else:
        _authenticate_page(access)
    return _first_password(access)


def token_for_forms() -> str:
    """Return the synchroniser token for the forms of the page being made."""
    secret = cookies.read(cookies.SESSION) if current.actor_or_none() else g.get("anonymous", "")
    return csrf_token(secret) if secret else ""


def anonymous_secret() -> str:
    """Return the secret behind the sign-in form, fresh unless the browser brought one."""
    if not g.get("anonymous"):
        g.anonymous = cookies.read(cookies.ANONYMOUS) or new_token()[0]
    return str(g.anonymous)


# --- 1. the host


def _check_host() -> None:
    # The port does not matter for rebinding, and a tunnel may change it.
    try:
        name = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        name = ""
    if name not in allowed_hosts(current.config().gateway):
        refuse(
            ForbiddenError(
                f"this appliance is not called {name[:100]!r}",
                hint="use one of its names, or add this one to the setting gateway.names",
            )
        )


@lru_cache(maxsize=4)
def allowed_hosts(gateway: Gateway) -> frozenset[str]:
    """Return the names under which a browser may address this gateway."""
    names = (gateway.host, *gateway.names, "localhost", "127.0.0.1")
    return frozenset(name.lower() for name in names)


# --- 3. the body


def _check_body() -> None:
    if (request.mimetype or "").startswith("multipart/"):
        refuse(BadInputError("files cannot be sent here", hint="paste the text instead"))
    # A body without a stated length would be cut off at the limit, and half a text be asked.
    if "Transfer-Encoding" in request.headers:
        refuse(BadInputError("the request does not state its length", hint="send Content-Length"))


# --- 4. who is it


def _authenticate_key() -> None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        refuse(NotSignedInError("no API key came with the request", hint=_KEY_HINT))
    g.actor = current.operations().sessions.authenticate_key(key.strip(), current.source())
    access = access_of(current_app.view_functions.get(request.endpoint or ""))
    if access is not None:
        _check_permission(access)


_KEY_HINT = "send it as `Authorization: Bearer <key>`; keys are made on the account page"


def _authenticate_page(access: Access) -> None:
    if access.permission is None:
        if request.method not in SAFE_METHODS:
            _check_origin()
            _check_token(cookies.read(cookies.ANONYMOUS))
        return
    token = cookies.read(cookies.SESSION)
    if not token:
        if request.method not in SAFE_METHODS:
            refuse(NotSignedInError("no session came with the request"))
        raise NotSignedInError("nobody is signed in here", hint="sign in")
    g.actor, g.session = current.operations().sessions.authenticate(
        token, current.source(), touch=access.touch
    )
    if request.method not in SAFE_METHODS:
        _check_origin()
        _check_token(token)
    _check_permission(access)


# --- 5. is it our own page


def _check_origin() -> None:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site != "same-origin":
            refuse(ForgedRequestError("the form was sent from another site"))
        return
    origin = request.headers.get("Origin")
    # `null` is what a browser sends for our own forms, because of Referrer-Policy: no-referrer
    # (Fetch standard, "append a request Origin header"). The token decides in that case.
    if origin not in (None, "null") and origin.partition("://")[2] != request.host:
        refuse(ForgedRequestError("the form was sent from another site"))


def _check_token(secret: str) -> None:
    sent = request.headers.get(HEADER) or request.form.get(FORM_FIELD, "")
    expected = csrf_token(secret) if secret else ""
    if not expected or not hmac.compare_digest(sent.encode(), expected.encode()):
        refuse(ForgedRequestError("the form came without the token of its page"))


# --- 6. may it


def _check_permission(access: Access) -> None:
    if access.permission is not None and not may(current.actor(), access.permission):
        refuse(ForbiddenError(f"the role {current.actor().role} may not open this page"))


def _first_password(access: Access) -> ResponseReturnValue | None:
    session = current.session()
    if session is None or access.with_initial_password:
        return None
    if session.user.must_change_password:
        return redirect(url_for("account.first_password"), 303)
    return None
