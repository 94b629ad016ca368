"""What the request at hand works with: the appliance, its operations, the one who asks.

Everything is set by `create_app` (once) and `security.guard` (per request); views only read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app, g, request

from appliance.assembly import Appliance
from appliance.config import Config
from appliance.errors import NotSignedInError
from appliance.identity.accounts import SessionInfo
from appliance.identity.permissions import Actor
from appliance.operations import Operations
from appliance.web.background import Background
from appliance.web.once import Once
from appliance.web.seats import Seats

EXTENSION = "appliance"


@dataclass(frozen=True)
class Gateway:
    """What lives as long as the web application."""

    appliance: Appliance
    operations: Operations
    once: Once
    seats: Seats
    background: Background


def gateway() -> Gateway:
    return cast(Gateway, current_app.extensions[EXTENSION])


def operations() -> Operations:
    return gateway().operations


def config() -> Config:
    return gateway().appliance.config


def actor_or_none() -> Actor | None:
    """Return who asks; None on public views and before the guard has run."""
    return cast("Actor | None", g.get("actor"))


def actor() -> Actor:
    """Return who asks; raise NotSignedInError on a public view."""
    found = actor_or_none()
    if found is None:
        raise NotSignedInError("no session came with the request")
    return found


def session() -> SessionInfo | None:
    """Return the session of a signed-in page; None for API keys and public views."""
    return cast("SessionInfo | None", g.get("session"))


def reference() -> str:
    """Return the id that an error page shows and the record holds."""
    return cast(str, g.get("reference", ""))


def source() -> str:
    """Return the address the request came from, as the record states it."""
    return request.remote_addr or "unknown"
