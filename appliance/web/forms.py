"""Forms that act once, however often they are sent.

The memory behind it is bound to the session: the same form token sent by anybody else, or by the
same person from another session, is another form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flask import request

from appliance.web import current
from appliance.web.security import token_for_forms

Result = TypeVar("Result")
FIELD = "once"


def once(work: Callable[[], Result]) -> Result:
    """Return what the form at hand did, doing it if this is its first sending."""
    return current.gateway().once.run(token_for_forms(), request.form.get(FIELD, ""), work)


def once_secret(work: Callable[[], Result]) -> Result:
    """Do the same for a form that makes a secret, which is kept for a minute only."""
    return current.gateway().once.run_secret(token_for_forms(), request.form.get(FIELD, ""), work)
