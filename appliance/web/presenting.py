"""What every template may use: who is signed in, the history, times in words, form tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from flask import Flask

from appliance.conversations.store import ConversationInfo
from appliance.errors import ApplianceError
from appliance.identity.permissions import Permission, may
from appliance.web import current, turns
from appliance.web.once import new_token
from appliance.web.pages.static import address
from appliance.web.security import FORM_FIELD, token_for_forms

SIDEBAR_LENGTH = 40


def install(app: Flask) -> None:
    """Give templates their functions and filters."""
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        static=address,
        csrf=token_for_forms,
        csrf_field=FORM_FIELD,
        once=new_token,
        signed_in=current.actor_or_none,
        session=current.session,
        permitted=_permitted,
        history=_history,
        site=lambda: current.config().site,
        ways_out=lambda: current.operations().airgap.ways_out(),
        idle_seconds=lambda: current.config().gateway.session_idle_s,
        reference=current.reference,
        notice=turns.NOTICE,
    )
    app.jinja_env.filters.update(
        clock=_clock,
        moment=_moment,
        iso=_iso,
        by_day=_by_day,
        size=_size,
        entry=_entry,
        short=_short,
        capitalize_first=_capitalize_first,
    )


def _permitted(name: str) -> bool:
    actor = current.actor_or_none()
    return actor is not None and may(actor, Permission(name))


def _history() -> list[ConversationInfo]:
    """Return the newest conversations of who is signed in; an error page must not fail on it."""
    actor = current.actor_or_none()
    if actor is None or not may(actor, Permission.OWN_CONTENT):
        return []
    try:
        return current.operations().chats.list(actor)[:SIDEBAR_LENGTH]
    except ApplianceError:
        return []


def _by_day(
    conversations: Sequence[ConversationInfo],
) -> list[tuple[str, list[ConversationInfo]]]:
    """Group by the day of the last change, in the site's own time zone."""
    today = _local(current.gateway().appliance.clock.now()).date()
    groups: dict[str, list[ConversationInfo]] = {}
    for conversation in conversations:
        day = _local(conversation.updated).date()
        name = {today: "Today", today - timedelta(days=1): "Yesterday"}.get(day, "Earlier")
        groups.setdefault(name, []).append(conversation)
    return list(groups.items())


def _local(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds).astimezone()


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M", time.localtime(seconds))


def _moment(seconds: float) -> str:
    return time.strftime("%d %b %Y %H:%M", time.localtime(seconds))


def _iso(seconds: float) -> str:
    return _local(seconds).isoformat(timespec="seconds")


def _size(count: int) -> str:
    value, unit = float(count), "bytes"
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"


def _entry(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _capitalize_first(text: str) -> str:
    """Begin a sentence with an error's lower-case words, leaving the rest as it is."""
    return text[:1].upper() + text[1:]
