"""What is known of people, their sessions and their API keys; which names they may have (pure).

Secrets are not among it: no value here holds a token, and `User.password_hash` is argon2id.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from appliance.errors import BadInputError
from appliance.identity.roles import Role

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
MAX_TEXT = 120


@dataclass(frozen=True)
class User:
    """One account. Times are seconds since 1970 UTC; `locked_until` is 0 when never locked."""

    id: str
    name: str
    display_name: str
    role: Role
    password_hash: str = field(repr=False)
    disabled: bool
    must_change_password: bool
    created: float
    failures: int
    locked_until: float


@dataclass(frozen=True)
class SessionInfo:
    """One open session: `idle_until` moves with use, `expires` never does."""

    user: User
    created: float
    last_seen: float
    idle_until: float
    expires: float
    source: str | None


@dataclass(frozen=True)
class KeyInfo:
    """One API key, without its secret. `revoked` and `last_used` are None when never."""

    id: str
    user_id: str
    label: str
    created: float
    expires: float
    revoked: float | None
    last_used: float | None


def normal_name(name: str) -> str:
    """Return the one spelling of a user name (NFC, case folded); raise BadInputError.

    ASCII only: two names that look alike in the record must be the same name. Accents belong
    into the display name.
    """
    normal = unicodedata.normalize("NFC", name).strip().casefold()
    if not NAME_PATTERN.fullmatch(normal):
        raise BadInputError(
            "a user name has 1 to 64 letters a-z, digits or . _ @ - and starts with one of the "
            "first two kinds"
        )
    return normal


def shown_text(text: str, what: str) -> str:
    """Return a label or display name fit for pages, terminals and the record."""
    shown = unicodedata.normalize("NFC", text).strip()
    if len(shown) > MAX_TEXT:
        raise BadInputError(f"{what} may have {MAX_TEXT} characters at most")
    # Control and format characters (Cc, Cf, Cs, Zl, Zp) can reorder or hide what stands beside.
    if any(
        unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in shown
    ):
        raise BadInputError(f"{what} must be one line of plain text")
    return shown
