"""Every response forbids what this application never does.

The policy allows scripts, styles and requests to this origin alone; no frame, no plug-in, no
base address, no inline code. With content there is `no-store`, so that a shared ward PC keeps
nothing. Static files are the exception: they hold no content and carry their digest in the
address.
"""

from __future__ import annotations

from flask import Flask, Response

from appliance.web import current

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer",
        "microphone", "midi", "payment", "publickey-credentials-get", "usb",
    )
)  # fmt: skip
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": PERMISSIONS_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def install(app: Flask) -> None:
    """Put the headers on every response, errors included."""

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.extend(HEADERS)  # no view sets one of them, so none is looked for
        response.headers.setdefault("Cache-Control", "no-store")
        if current.reference():
            response.headers["X-Request-Id"] = current.reference()
        if current.config().gateway.behind_tls:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response
