"""Encrypted at rest: AES-256-GCM envelopes under a key per conversation.

Three keys, each with one job. The *key-encryption key* lies in a file (0400) made by `appliance
init` and replaced by `appliance retention rewrap`. A *content key* is random per conversation and
stored only wrapped, as is the secret behind a patient's pseudonym. From a content key, HKDF
derives the encryption key and the *commitment*: AES-GCM alone lets one ciphertext open
under two keys (see "Key committing AEADs", RFC 9771), so the record holds a commitment too.

Sealed text is padded to a multiple of 64 bytes, so that a length tells little.
Not here: where the sealed bytes or wrapped keys are kept (`conversations/store.py`).
"""

from __future__ import annotations

import contextlib
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
WRONG_KEY_FILE = "the key file keys/content.key does not belong to these conversations"
HINT_KEY_FILE = "put the right key file back; nothing was opened or changed"
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
    """The key-encryption key: makes, wraps and unwraps content keys and other secrets.

    `key_id` names it without telling it. One that was loaded from a file finds the file that
    took its place (`named`), so that a program goes on while the key is replaced.
    """

    def __init__(self, secret: bytes, path: Path | None = None) -> None:
        if len(secret) != KEY_BYTES:
            raise VerificationError("the key file has the wrong length")
        self._cipher = AESGCM(secret)
        self._path = path
        self.key_id = f"kek_{_derive(secret, b'appliance key-encryption key id v1').hex()[:24]}"

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
            return cls(path.read_bytes(), path)
        except FileNotFoundError as error:
            raise NotInitialisedError(f"the key file {path} is missing") from error

    @property
    def path(self) -> Path:
        """The key's file; raises VerificationError for a key that came from none."""
        if self._path is None:
            raise VerificationError("this key has no file")
        return self._path

    def named(self, key_id: str) -> KeyWrapper:
        """Return the key of that id: this one, or the one in the file now or about to be in it.

        Raises VerificationError when neither file holds it.
        """
        if key_id == self.key_id:
            return self
        if self._path is not None:
            # In this order: a rename between the two looks cannot hide the key.
            for path in (next_file(self._path), self._path):
                with contextlib.suppress(NotInitialisedError, FileNotFoundError):
                    if KeyWrapper.from_file(path).key_id == key_id:
                        return KeyWrapper(path.read_bytes(), self._path)
        raise VerificationError(WRONG_KEY_FILE, hint=HINT_KEY_FILE)

    def generate(self, key_id: str) -> tuple[ContentKey, bytes]:
        """Return a fresh content key and its wrapped form, the only form that is stored."""
        secret = os.urandom(KEY_BYTES)
        return ContentKey(key_id, secret), self.wrap(key_id, secret)

    def unwrap(self, key_id: str, wrapped: bytes) -> ContentKey:
        """Return the content key; raise VerificationError if it was altered or moved."""
        return ContentKey(key_id, self.unwrap_secret(key_id, wrapped))

    def wrap(self, name: str, secret: bytes) -> bytes:
        """Return `secret` encrypted for the row named `name`."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, name.encode())

    def unwrap_secret(self, name: str, wrapped: bytes) -> bytes:
        """Return what was wrapped; raise VerificationError if it was altered or moved."""
        nonce, body = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, body, name.encode())
        except (InvalidTag, ValueError) as error:
            raise VerificationError(f"content key {name} does not open") from error


def next_file(path: Path) -> Path:
    """Return where the key that will replace the one in `path` lies until it does."""
    return path.with_name(f"{path.name}.next")


def old_file(path: Path) -> Path:
    """Return where a replaced key lies until it is destroyed."""
    return path.with_name(f"{path.name}.old")


def replace_file(path: Path) -> None:
    """Put the next key file in the place of `path` and destroy the old one.

    Safe to call again after a crash at any point in it; does nothing when there is no next file
    and nothing left to destroy.
    """
    if next_file(path).exists():
        if not old_file(path).exists():
            os.link(path, old_file(path))  # so that the old bytes can still be overwritten
        elif not old_file(path).samefile(path):
            raise VerificationError(f"{old_file(path)} is not the key that is being replaced")
        durable.sync_folder(path.parent)
        next_file(path).replace(path)
        durable.sync_folder(path.parent)
    if old_file(path).exists() and old_file(path).samefile(path):
        old_file(path).unlink()  # a second name of the key in use, which must not be overwritten
    durable.destroy(old_file(path))


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
