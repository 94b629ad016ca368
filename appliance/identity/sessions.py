"""Bearer secrets: session tokens, their anti-forgery tokens, and API keys.

Each carries 256 bits of the kernel's randomness and is kept only as its SHA-256. A slow hash
such as argon2id would add nothing: it protects secrets that can be guessed, and 2^256 values
cannot be; it would cost 50 ms on every request. Not here: where digests are kept (`store.py`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

SECRET_BYTES = 32
KEY_PATTERN = re.compile(r"apl_([0-9a-f]{24})_([0-9a-f]{64})")


def digest(token: str) -> str:
    """Return the SHA-256 of a token or API key in hex: the only form that is stored."""
    # A header may hold anything, lone surrogates included; those match no stored digest.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def new_token() -> tuple[str, str]:
    """Return a fresh session token and its digest."""
    token = secrets.token_urlsafe(SECRET_BYTES)
    return token, digest(token)


def csrf_token(token: str) -> str:
    """Return the anti-forgery token of a session: HMAC-SHA256(token, "csrf") in hex.

    It is derived, so there is nothing to store, and it ends with the session.
    """
    return hmac.new(token.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256).hexdigest()


def new_api_key() -> tuple[str, str, str]:
    """Return a fresh key `apl_<id>_<secret>`, its id `key_<id>`, and the digest of the key."""
    identifier = secrets.token_hex(12)
    key = f"apl_{identifier}_{secrets.token_hex(SECRET_BYTES)}"
    return key, f"key_{identifier}", digest(key)


def parse_api_key(text: str) -> tuple[str, str] | None:
    """Return the id and the digest of a key, or None for text that is not a key at all."""
    match = KEY_PATTERN.fullmatch(text)
    return None if match is None else (f"key_{match[1]}", digest(text))


def same(left: str, right: str) -> bool:
    """Compare digests or anti-forgery tokens without leaking where they differ."""
    return hmac.compare_digest(
        left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass")
    )
