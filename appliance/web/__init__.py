"""`create_app(operations) -> Flask`: the gateway that people and programs talk to.

Views parse, call one operation, and present. What every request must pass is in `security.py`,
what every response carries in `headers.py`, what an error becomes in `errors.py`.
"""

from __future__ import annotations

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from appliance.operations import Operations
from appliance.web import addresses, api, current, errors, headers, pages, presenting, security
from appliance.web.background import Background
from appliance.web.once import Once
from appliance.web.seats import Seats


def create_app(operations: Operations) -> Flask:
    """Return the WSGI application over these verbs; it starts no thread and opens no socket."""
    settings = operations.appliance.config.gateway
    # Flask's own static route would have no declared access, so it is left out.
    app = Flask(__name__, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        MAX_FORM_MEMORY_SIZE=settings.max_body_bytes,
        MAX_FORM_PARTS=100,
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    app.extensions[current.EXTENSION] = current.Gateway(
        appliance=operations.appliance,
        operations=operations,
        once=Once(),
        seats=Seats(settings.threads),
        background=Background(),
    )
    if settings.behind_tls:
        # The edge is the one neighbour that can reach this port, and it sets these two.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]  # as Flask documents it
    addresses.install(app)
    app.before_request(security.guard)
    headers.install(app)
    errors.install(app)
    presenting.install(app)
    pages.install(app)
    api.install(app)
    return app
