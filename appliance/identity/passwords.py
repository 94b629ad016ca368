"""Passwords are kept only as argon2id, and guessing costs the same whoever is named.

Parameters are argon2-cffi's defaults, the second recommended option of RFC 9106 section 4
(3 passes, 64 MiB, 4 lanes; the first needs 2 GiB for each sign-in, which the model needs more).
Text is compared in NFC, so that an accent typed on another keyboard still matches (RFC 8265).
Not here: how often a guess is allowed (`store.py`, `throttle.py`).
"""

from __future__ import annotations

import functools
import secrets
import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from appliance.errors import BadInputError

MIN_CHARACTERS = 12
MAX_BYTES = 256
MIN_BESIDE_NAME = 8
# 32 letters and digits, 5 bits each, without those that are taken for another on paper.
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
GROUPS, GROUP_LENGTH = 4, 4

_hasher = PasswordHasher()
# Each hash takes 64 MiB: a flood of sign-ins must not take the memory that the model needs.
_few_at_once = threading.BoundedSemaphore(4)


def hash_password(text: str) -> str:
    """Return the argon2id hash of a password, parameters and salt included."""
    with _few_at_once:
        return _hasher.hash(_prepared(text))


def verify_password(stored: str | None, text: str) -> bool:
    """Return whether `text` is the password behind `stored`.

    None stands for an unknown user: the same time is spent, and the answer is False, so that
    the clock does not tell which names exist.
    """
    try:
        candidate = _prepared(text)
    except BadInputError:
        candidate, stored = b"", None
    with _few_at_once:
        try:
            return _hasher.verify(stored or _dummy(), candidate) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


def needs_rehash(stored: str) -> bool:
    """Return whether the hash was made with other parameters than are used today."""
    return _hasher.check_needs_rehash(stored)


def generate_password() -> str:
    """Return a fresh password of 80 random bits, such as `k7hd-x2mm-9fqa-w3te`."""
    return "-".join(
        "".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS)
    )


def check_strength(text: str, name: str) -> None:
    """Return if `text` may be the password of `name`; raise BadInputError saying why not."""
    _prepared(text)
    if len(text) < MIN_CHARACTERS:
        raise BadInputError(f"a password needs {MIN_CHARACTERS} characters or more")
    if len(set(text)) == 1:
        raise BadInputError("a password of one repeated character is guessed at once")
    if len(text.casefold().replace(name.casefold(), "")) < MIN_BESIDE_NAME:
        raise BadInputError("a password must not be made of the user's own name")


def _prepared(text: str) -> bytes:
    try:
        data = unicodedata.normalize("NFC", text).encode()
    except UnicodeEncodeError as error:
        raise BadInputError("a password must be text") from error
    if len(data) > MAX_BYTES:
        raise BadInputError(f"a password may have {MAX_BYTES} bytes at most")
    return data


@functools.cache
def _dummy() -> str:
    return _hasher.hash(secrets.token_bytes(16))
