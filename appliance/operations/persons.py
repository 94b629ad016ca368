"""The opaque word by which an engine shares its time among people.

Guarantee: the same for all requests of one person while this process lives, different after it,
and worthless to whoever does not hold the process's key; so an engine's memory and log cannot
tell who asked. Not here: who may ask.
"""

from __future__ import annotations

import hmac
import os

HEX_DIGITS = 16
# Never written anywhere: a new process means new words.
_KEY = os.urandom(32)


def opaque(user: str) -> str:
    """Return the word for a user id: 16 hex digits of an HMAC-SHA256."""
    return hmac.digest(_KEY, user.encode(), "sha256").hex()[:HEX_DIGITS]
