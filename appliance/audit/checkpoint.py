"""Signed checkpoints: the size and root of the record under an Ed25519 signature (pure).

A checkpoint is a C2SP tlog-checkpoint, which is a C2SP signed note of three lines:

    hospital/audit/0123456789abcdef       origin: the name of the log, and of its keys
    1000                                  how many entries
    qKr+…=                                root hash of the tree over them, base64
                                          (an empty line)
    — hospital/audit/0123456789abcdef …   signature: base64(key id ‖ Ed25519 signature)

A key is written as `name+id+key` (a "verifier key", as golang.org/x/mod/sumdb/note reads it):
the id is the first 4 bytes of SHA-256(name ‖ newline ‖ algorithm ‖ key). The log signs with
algorithm 1; a witness co-signs with algorithm 4 (C2SP tlog-cosignature), which adds the time.

Raises BadInputError for what is not a checkpoint, VerificationError when no signature holds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.errors import BadInputError, VerificationError

ED25519 = 1
COSIGNATURE = 4
MAX_NOTE_BYTES = 65_536
MAX_SIZE = 2**53 - 1
_DASH = "\N{EM DASH} "
_KEY_BYTES = 32
_SIGNATURE_BYTES = {ED25519: 64, COSIGNATURE: 8 + 64}


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under; `algorithm` is ED25519 or COSIGNATURE."""

    name: str
    public: bytes
    algorithm: int = ED25519

    @property
    def id(self) -> bytes:
        """The 4 bytes that a signature names its key by."""
        data = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(data).digest()[:4]

    def __str__(self) -> str:
        material = base64.b64encode(bytes([self.algorithm]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{material}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read `name+id+key`; raise BadInputError when it is none, or the id does not match."""
        try:
            name, key_id, material = text.strip().split("+", 2)
            data = base64.b64decode(material, validate=True)
        except (ValueError, binascii.Error) as error:
            raise BadInputError("not a verifier key: expected name+id+key") from error
        _check_name(name)
        if len(data) != 1 + _KEY_BYTES or data[0] not in _SIGNATURE_BYTES:
            raise BadInputError("not a verifier key: its kind is unknown")
        key = cls(name, data[1:], data[0])
        if key.id.hex() != key_id:
            raise BadInputError("not a verifier key: its id does not belong to it")
        return key


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: who, the 4-byte key id, and the bytes after it."""

    name: str
    key_id: bytes
    data: bytes

    def line(self) -> str:
        """Return the line as it stands in a note, with its line break."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.data).decode()}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is signed: the log's origin, its number of entries, and its 32-byte root hash."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def facts(self) -> dict[str, int | str]:
        """Return what the record says of a checkpoint that was kept elsewhere."""
        return {"size": self.size, "root": base64.b64encode(self.root).decode()}


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with its signatures, none of them verified yet."""

    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]

    def note(self) -> str:
        """Return the whole signed note, as it is stored, printed and handed on."""
        lines = "".join(signature.line() for signature in self.signatures)
        return f"{self.checkpoint.text()}\n{lines}"

    @classmethod
    def parse(cls, note: str | bytes) -> SignedCheckpoint:
        """Read a note; raise BadInputError on anything but a checkpoint with signatures."""
        text, lines = _halves(note)
        return cls(_checkpoint(text), tuple(_signature(line) for line in lines))

    def verify(self, key: VerifierKey) -> Checkpoint:
        """Return the checkpoint if `key` signed it; raise VerificationError otherwise."""
        for signature in self.signatures:
            if signature.name == key.name and signature.key_id == key.id:
                _verify(self.checkpoint, signature, key)
                return self.checkpoint
        raise VerificationError(f"the checkpoint is not signed by {key.name} {key.id.hex()}")

    def signed_by(self, keys: Iterable[VerifierKey]) -> list[VerifierKey]:
        """Return those of `keys` whose signatures hold; raise VerificationError on a false one."""
        held = []
        for key in keys:
            if any((s.name, s.key_id) == (key.name, key.id) for s in self.signatures):
                self.verify(key)
                held.append(key)
        return held

    def with_signatures(self, more: Iterable[Signature]) -> SignedCheckpoint:
        """Return it with signatures added that are not there yet."""
        added = [signature for signature in more if signature not in self.signatures]
        return SignedCheckpoint(self.checkpoint, (*self.signatures, *added))


class Signer:
    """The private half of a VerifierKey."""

    def __init__(self, name: str, secret: Ed25519PrivateKey, algorithm: int = ED25519) -> None:
        _check_name(name)
        self._secret = secret
        public = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key = VerifierKey(name, public, algorithm)

    def sign(self, checkpoint: Checkpoint) -> SignedCheckpoint:
        """Return the checkpoint signed as its log does."""
        if self.key.algorithm != ED25519:
            raise BadInputError("a witness co-signs; it does not sign for a log")
        data = self._secret.sign(checkpoint.text().encode())
        return SignedCheckpoint(checkpoint, (Signature(self.key.name, self.key.id, data),))

    def cosign(self, checkpoint: Checkpoint, unix_time: int) -> Signature:
        """Return a witness's signature over the checkpoint and the time in whole seconds."""
        if self.key.algorithm != COSIGNATURE:
            raise BadInputError("only a witness's key co-signs")
        data = self._secret.sign(_cosigned(checkpoint, unix_time))
        return Signature(self.key.name, self.key.id, struct.pack(">Q", unix_time) + data)


def cosigned_at(signature: Signature) -> int:
    """Return the Unix time in whole seconds that a witness's signature states."""
    if len(signature.data) != _SIGNATURE_BYTES[COSIGNATURE]:
        raise BadInputError("not a witness's signature")
    return int(struct.unpack(">Q", signature.data[:8])[0])


def parse_signature(line: str) -> Signature:
    """Read one signature line; raise BadInputError when it is none."""
    return _signature(line.removesuffix("\n"))


def _verify(checkpoint: Checkpoint, signature: Signature, key: VerifierKey) -> None:
    data, message = signature.data, checkpoint.text().encode()
    if len(data) != _SIGNATURE_BYTES[key.algorithm]:
        raise VerificationError(f"the signature of {key.name} has the wrong length")
    if key.algorithm == COSIGNATURE:
        message, data = _cosigned(checkpoint, cosigned_at(signature)), data[8:]
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(data, message)
    except InvalidSignature as error:
        raise VerificationError(f"the signature of {key.name} does not hold") from error


def _cosigned(checkpoint: Checkpoint, unix_time: int) -> bytes:
    return f"cosignature/v1\ntime {unix_time}\n{checkpoint.text()}".encode()


def _halves(note: str | bytes) -> tuple[str, list[str]]:
    try:
        whole = note.decode() if isinstance(note, bytes) else note
        size = len(whole.encode())
    except UnicodeError as error:
        raise BadInputError("not a checkpoint: it is not UTF-8") from error
    if size > MAX_NOTE_BYTES:
        raise BadInputError("not a checkpoint: it is too long")
    if any(ord(character) < 0x20 and character != "\n" for character in whole):
        raise BadInputError("not a checkpoint: it has control characters")
    text, separator, signatures = whole.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise BadInputError("not a checkpoint: it has no signatures")
    return text + "\n", signatures.removesuffix("\n").split("\n")


def _checkpoint(text: str) -> Checkpoint:
    lines = text.removesuffix("\n").split("\n")
    if len(lines) != 3:
        raise BadInputError("not a checkpoint: it has not three lines")
    origin, size, root = lines
    _check_name(origin)
    digits = size.isascii() and size.isdigit() and len(size) <= len(str(MAX_SIZE))
    if not digits or str(int(size)) != size or int(size) > MAX_SIZE:
        raise BadInputError("not a checkpoint: its size is not a number")
    return Checkpoint(origin, int(size), _base64(root, 32, "its root"))


def _signature(line: str) -> Signature:
    name, _, data = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH):
        raise BadInputError("not a checkpoint: a signature line does not begin with a dash")
    _check_name(name)
    decoded = _base64(data, None, "a signature")
    if len(decoded) < 5:
        raise BadInputError("not a checkpoint: a signature is too short")
    return Signature(name, decoded[:4], decoded[4:])


def _base64(text: str, length: int | None, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadInputError(f"not a checkpoint: {what} is not base64") from error
    if base64.b64encode(data).decode() != text or (length is not None and len(data) != length):
        raise BadInputError(f"not a checkpoint: {what} has a wrong form")
    return data


def _check_name(name: str) -> None:
    # Half of a surrogate pair comes from an argument that is not UTF-8, and cannot be hashed.
    bad = any(c.isspace() or ord(c) < 0x20 or "\ud800" <= c <= "\udfff" for c in name)
    if not name or "+" in name or bad:
        raise BadInputError("a key's name has no space and no plus sign, and is not empty")
