"""For programs: the OpenAI-compatible API under /v1, health and metrics."""

from __future__ import annotations

from flask import Flask

from appliance.web.api import health, openai, receipts


def install(app: Flask) -> None:
    """Put the API on the application."""
    app.register_blueprint(openai.api)
    app.register_blueprint(receipts.api)
    app.register_blueprint(health.api)
