"""Requests that never reach an operation are recorded too.

An operation records what it refuses by itself. What the web layer refuses before it (a forged
form, an oversized body, JSON that is none, an expired session, a closed page) is noted here, with
the reference that the person sees, and never with anything the person sent.
"""

from __future__ import annotations

from typing import NoReturn

from flask import request

from appliance.errors import ApplianceError
from appliance.web import current


def refuse(error: ApplianceError) -> NoReturn:
    """Record that this request was refused, then raise `error`."""
    note(error)
    raise error


def note(error: ApplianceError) -> None:
    """Record a refusal; the person is refused also when the record cannot be written."""
    rule = request.url_rule.rule if request.url_rule else "unknown page"
    current.operations().records.note_refusal(
        current.actor_or_none(),
        current.source(),
        error,
        f"{current.reference()} {request.method} {rule}",
    )
