"""Pages for people in a browser: each parses a form, calls one operation, shows the result."""

from __future__ import annotations

from flask import Flask

from appliance.web.pages import (
    account,
    anchors,
    answers,
    chat,
    corrections,
    keys,
    models,
    people,
    privacy,
    receipts,
    record,
    searches,
    session,
    static,
)


def install(app: Flask) -> None:
    """Put every page on the application."""
    for module in (
        static, session, account, chat, answers, people, keys, models, record, searches, receipts,
        corrections, privacy, anchors,
    ):  # fmt: skip
        app.register_blueprint(module.pages)
