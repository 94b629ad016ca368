"""Signed metadata and the keys that count for it: parsed, and signed by enough of them. Pure.

python-tuf's metadata API parses and checks signatures; what it raises becomes SignatureError.
Not here: versions, expiry, and which metadata name which (`trust`).
"""

from __future__ import annotations

from typing import TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import (
    Key,
    Metadata,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)

from appliance.bundles.refusals import SignatureError

# OMS signatures are made with these kinds of keys alone.
EC_SCHEMES = frozenset({"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"})

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)


def check_distinct(root: Root) -> None:
    """Raise SignatureError when a root lists one public key under two names.

    Else one person could sign twice, and make a threshold alone.
    """
    public = [_material(key) for key in root.keys.values()]
    if len(set(public)) != len(public):
        raise SignatureError("the root lists one key under two names")


def _material(key: Key) -> bytes:
    """Return a public key in one form only, however its text in the root is laid out."""
    text = key.keyval.get("public", "")
    try:
        if key.keytype == "ed25519":
            return bytes.fromhex(text)
        return serialization.load_pem_public_key(text.encode()).public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except (ValueError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
        raise SignatureError("the root lists a key that cannot be read") from error


def model_keys(root: Root) -> tuple[bytes, ...]:
    """Return the public keys (PEM) that may sign a model: the EC keys of the targets role."""
    keys = (root.keys[keyid] for keyid in root.roles[Targets.type].keyids)
    return tuple(key.keyval["public"].encode() for key in keys if key.scheme in EC_SCHEMES)


def good_signers(root: Root, data: bytes) -> tuple[str, ...]:
    """Return the ids of the keys that signed the list of models, sorted."""
    metadata = parse(Targets, data)
    result = root.get_verification_result(Targets.type, metadata.signed_bytes, metadata.signatures)
    return tuple(sorted(result.signed))


def verified(kind: type[S], root: Root, data: bytes) -> S:
    """Return metadata that enough of the root's keys for its role have signed."""
    metadata = parse(kind, data)
    check_threshold(root, metadata)
    return metadata.signed


def parse(kind: type[S], data: bytes) -> Metadata[S]:
    """Return metadata of one kind; whether it is signed is not asked."""
    try:
        metadata: Metadata[S] = Metadata.from_bytes(data)
    except (RepositoryError, ValueError, RecursionError) as error:
        raise SignatureError(f"{kind.type} metadata is malformed: {error}") from error
    if metadata.signed.type != kind.type:
        raise SignatureError(f"a file of type {metadata.signed.type} stands for {kind.type}")
    return metadata


def check_threshold(root: Root, metadata: Metadata[S]) -> None:
    """Raise SignatureError unless enough of the root's keys for its role have signed it."""
    try:
        root.verify_delegate(metadata.signed.type, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError as error:
        raise SignatureError(f"too few valid signatures: {error}") from error
    except (RepositoryError, ValueError, RecursionError) as error:
        # Such as a fraction or deep nesting: neither has the normal form that is signed.
        raise SignatureError(f"{metadata.signed.type} metadata cannot have been signed") from error
