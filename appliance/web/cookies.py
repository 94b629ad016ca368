"""The two cookies: one for a session, one that protects the sign-in form before there is one.

Both are out of reach of scripts and of other sites. Behind TLS they carry the `__Host-` prefix
(RFC 6265bis section 4.1.3.2), so that no neighbouring host can plant one. A cookie holds a random
token and nothing else; what it stands for is kept on the server.
"""

from __future__ import annotations

from flask import Response, request

from appliance.web import current

SESSION = "appliance-session"
ANONYMOUS = "appliance-anonymous"


def read(name: str) -> str:
    """Return the cookie's value, empty when it did not come."""
    return request.cookies.get(_full(name), "")


def write(response: Response, name: str, value: str) -> None:
    """Set the cookie until the browser is closed; the server ends it earlier."""
    response.set_cookie(
        _full(name),
        value,
        path="/",
        secure=current.config().gateway.behind_tls,
        httponly=True,
        samesite="Strict",
    )


def drop(response: Response, name: str) -> None:
    """Take the cookie back."""
    response.delete_cookie(
        _full(name),
        path="/",
        secure=current.config().gateway.behind_tls,
        httponly=True,
        samesite="Strict",
    )


def _full(name: str) -> str:
    return f"__Host-{name}" if current.config().gateway.behind_tls else name
