"""Encrypted at rest: AES-256-GCM envelopes under a key per conversation.

Three keys, each with one job. The *key-encryption key* lies in a file (0400) made once by
`appliance init`. A *content key* is random per conversation and stored only wrapped. From it,
HKDF derives the encryption key and the *commitment*: AES-GCM alone lets one ciphertext open
under two keys (see "Key committing AEADs", RFC 9771), so the record holds a commitment too.

Sealed text is padded to a multiple of 64 bytes, so that a length tells little.
Not here: where the sealed bytes or wrapped keys are kept (`conversations/store.py`).
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance import durable
from appliance.canonical import sha256
from appliance.errors import BadInputError, NotInitialisedError, VerificationError

KEY_BYTES = 32
NONCE_BYTES = 12
PADDING_BLOCK = 64
FORMAT = b"\x01"
HINT_READABLE = (
    "chmod 0400 {}; whoever could read it could open every conversation, "
    "so tell the person in charge of security"
)


@dataclass(frozen=True)
class Sealed:
    """One encrypted text: format byte, nonce, ciphertext and tag, as stored."""

    data: bytes
    key_id: str
    commitment: bytes

    def for_record(self) -> dict[str, str | int]:
        """Return what the audit record may hold of it: digest, length, key id, commitment."""
        return {
            "sha256": sha256(self.data).hex(),
            "bytes": len(self.data),
            "key": self.key_id,
            "commitment": self.commitment.hex(),
        }


class ContentKey:
    """The key of one conversation; seals and opens its texts.

    `context` is bound to the ciphertext (the id of the row it belongs to), so that two rows of a
    database cannot be swapped unnoticed.
    """

    def __init__(self, key_id: str, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise VerificationError(f"content key {key_id} has the wrong length")
        self.key_id = key_id
        self._cipher = AESGCM(_derive(secret, b"appliance content encryption v1"))
        self.commitment = _derive(secret, b"appliance content commitment v1")

    def seal(self, text: str, context: str) -> Sealed:
        """Encrypt `text` for the place named by `context`; BadInputError unless it is Unicode."""
        try:
            data = text.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair, as JSON can carry it
            raise BadInputError("the text is not valid Unicode; nothing was stored") from error
        nonce = os.urandom(NONCE_BYTES)
        body = self._cipher.encrypt(nonce, _pad(data), self._bound(context))
        return Sealed(FORMAT + nonce + body, self.key_id, self.commitment)

    def open(self, data: bytes, context: str) -> str:
        """Return the text; raise VerificationError if data, key or place do not match."""
        if data[:1] != FORMAT:
            raise VerificationError("sealed content has an unknown format")
        nonce, body = data[1 : 1 + NONCE_BYTES], data[1 + NONCE_BYTES :]
        try:
            padded = self._cipher.decrypt(nonce, body, self._bound(context))
        except (InvalidTag, ValueError) as error:
            raise VerificationError(f"sealed content of {context} was altered") from error
        return _unpad(padded).decode()

    def _bound(self, context: str) -> bytes:
        return b"\x00".join((self.key_id.encode(), context.encode()))


class KeyWrapper:
    """The key-encryption key: makes, wraps and unwraps content keys."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise VerificationError("the key file has the wrong length")
        self._cipher = AESGCM(secret)

    @classmethod
    def create_file(cls, path: Path) -> None:
        """Make a fresh key file, readable by its owner alone; never replaces one."""
        durable.create(path, os.urandom(KEY_BYTES), mode=0o400)

    @classmethod
    def from_file(cls, path: Path) -> KeyWrapper:
        """Load the key; raise NotInitialisedError when missing or readable by others."""
        try:
            if path.stat().st_mode & 0o077:
                raise NotInitialisedError(
                    f"{path} can be read by others", hint=HINT_READABLE.format(path)
                )
            return cls(path.read_bytes())
        except FileNotFoundError as error:
            raise NotInitialisedError(f"the key file {path} is missing") from error

    def generate(self, key_id: str) -> tuple[ContentKey, bytes]:
        """Return a fresh content key and its wrapped form, the only form that is stored."""
        secret = os.urandom(KEY_BYTES)
        nonce = os.urandom(NONCE_BYTES)
        wrapped = nonce + self._cipher.encrypt(nonce, secret, key_id.encode())
        return ContentKey(key_id, secret), wrapped

    def unwrap(self, key_id: str, wrapped: bytes) -> ContentKey:
        """Return the content key; raise VerificationError if it was altered or moved."""
        try:
            secret = self._cipher.decrypt(
                wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], key_id.encode()
            )
        except (InvalidTag, ValueError) as error:
            raise VerificationError(f"content key {key_id} does not open") from error
        return ContentKey(key_id, secret)


def equal(left: bytes, right: bytes) -> bool:
    """Compare secrets without leaking through time where they differ."""
    return hmac.compare_digest(left, right)


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose).derive(secret)


def _pad(data: bytes) -> bytes:
    # ISO/IEC 7816-4: one 0x80 byte, then zeros; unambiguous for every input.
    padded = data + b"\x80"
    return padded + b"\x00" * (-len(padded) % PADDING_BLOCK)


def _unpad(data: bytes) -> bytes:
    return data.rstrip(b"\x00")[:-1]
