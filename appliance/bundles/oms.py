"""OpenSSF Model Signing (OMS) v1.0, key mode: a signature that outlives the bundle. Pure.

An in-toto statement that names every file of a model with its SHA-256, in a DSSE envelope signed
with one EC key, in a Sigstore bundle. `verify` accepts much less than the published tool does:

1. bounded JSON, of the one media type, with the one payload type, and exactly one signature;
2. the key is one of those given (pinned by the publisher's root), and it is the one hinted at;
3. the signature covers the payload (DSSE pre-authentication encoding, v1 only);
4. statement and predicate are of the exact types; method "files" with SHA-256, no symlinks;
5. the names are exactly the model's files, each once, each with the digest found on the disk;
6. the subject's digest is that over all digests in order.

Certificates and keyless signatures are not accepted. Specification:
https://github.com/ossf/model-signing-spec, DSSE: https://github.com/secure-systems-lab/dsse.
Not here: hashing files, choosing keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.bundles.refusals import SignatureError

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
MAX_BYTES = 262_144
CURVES: Mapping[str, type[hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
}

Sign = Callable[[bytes], bytes]
"""`sign(message)` returns an ECDSA signature in DER, made with the curve's own hash."""


@dataclass(frozen=True)
class OmsSigner:
    """Who signed a model: the SHA-256 (hex) of the public key's PEM, and that PEM."""

    key_sha256: str
    public_key: bytes


def verify(data: bytes, keys: Sequence[bytes], digests: Mapping[str, str]) -> OmsSigner:
    """Return who signed exactly the files `digests` (plain name to SHA-256 in hex).

    `keys` are the public keys (PEM) that may have. Raises SignatureError.
    """
    bundle = _object(data)
    hint, payload, signature = _envelope(bundle)
    signer = _signer(keys, hint)
    _check_signature(signer, payload, signature)
    _check_statement(_object(payload), digests)
    return signer


def sign(name: str, digests: Mapping[str, str], public_key: bytes, sign_with: Sign) -> bytes:
    """Return the signature file of a model: `name` is what the statement calls it."""
    payload = statement(name, digests)
    key = load(public_key)
    envelope = {
        "payload": _encode(payload),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": _encode(sign_with(pae(payload))), "keyid": ""}],
    }
    material = {"publicKey": {"hint": key.key_sha256}, "tlogEntries": []}
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": material,
        "dsseEnvelope": envelope,
    }
    return json.dumps(bundle, indent=1).encode() + b"\n"


def statement(name: str, digests: Mapping[str, str]) -> bytes:
    """Return the in-toto statement over the files `digests`, as JSON."""
    resources = [
        {"name": file, "digest": digest, "algorithm": "sha256"}
        for file, digest in sorted(digests.items())
    ]
    serialization_ = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [],
    }
    value = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": root_digest(resources)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"serialization": serialization_, "resources": resources},
    }
    return json.dumps(value).encode()


def root_digest(resources: Sequence[Mapping[str, Any]]) -> str:
    """Return the SHA-256 (hex) over the digests of all files, in the order they are listed."""
    digest = hashlib.sha256()
    for resource in resources:
        digest.update(bytes.fromhex(resource["digest"]))
    return digest.hexdigest()


def pae(payload: bytes) -> bytes:
    """Return what is signed: DSSE's pre-authentication encoding of the payload."""
    head = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} "
    return head.encode() + payload


def load(public_key: bytes) -> OmsSigner:
    """Return a key as the published tool names it: by its PEM, written anew."""
    key = _ec_key(public_key)
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return OmsSigner(hashlib.sha256(pem).hexdigest(), pem)


def _signer(keys: Sequence[bytes], hint: str) -> OmsSigner:
    for signer in map(load, keys):
        if signer.key_sha256 == hint:
            return signer
    raise SignatureError("the model is signed by a key that the publisher's root does not name")


def _ec_key(public_key: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError("a key that may sign models is malformed") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise SignatureError("a key that may sign models is not on the curve P-256 or P-384")
    return key


def _check_signature(signer: OmsSigner, payload: bytes, signature: bytes) -> None:
    key = _ec_key(signer.public_key)
    try:
        key.verify(signature, pae(payload), ec.ECDSA(CURVES[key.curve.name]()))
    except InvalidSignature as error:
        raise SignatureError("the model's signature does not fit its key") from error


def _envelope(bundle: Mapping[str, Any]) -> tuple[str, bytes, bytes]:
    """Return the key's hint, the payload and the one signature."""
    if bundle.get("mediaType") != MEDIA_TYPE:
        raise SignatureError("the model's signature is not a Sigstore bundle of version 0.3")
    try:
        material, envelope = bundle["verificationMaterial"], bundle["dsseEnvelope"]
        hint = material["publicKey"]["hint"]
        signatures = envelope["signatures"]
        if envelope["payloadType"] != PAYLOAD_TYPE or len(signatures) != 1:
            raise SignatureError("the model's signature is no in-toto payload signed once")
        payload, signature = _decode(envelope["payload"]), _decode(signatures[0]["sig"])
    except (KeyError, TypeError, binascii.Error, ValueError) as error:
        raise SignatureError("the model's signature is malformed") from error
    if {"certificate", "x509CertificateChain"} & material.keys() or not isinstance(hint, str):
        raise SignatureError("the model's signature is not by a plain key")
    return hint, payload, signature


def _check_statement(value: Mapping[str, Any], digests: Mapping[str, str]) -> None:
    if value.get("_type") != STATEMENT_TYPE or value.get("predicateType") != PREDICATE_TYPE:
        raise SignatureError("the model's signature is of another kind than OMS v1.0")
    try:
        (subject,) = value["subject"]
        rules, resources = value["predicate"]["serialization"], value["predicate"]["resources"]
        way = (rules["method"], rules["hash_type"], rules["allow_symlinks"])
        kinds = {resource["algorithm"] for resource in resources}
        signed = {resource["name"]: resource["digest"] for resource in resources}
        stated, found = subject["digest"]["sha256"], root_digest(resources)
    except (KeyError, TypeError, ValueError) as error:
        raise SignatureError("the model's signature is malformed") from error
    if way != ("files", "sha256", False) or kinds != {"sha256"}:
        raise SignatureError("the model's signature does not hash whole files with SHA-256")
    if len(signed) != len(resources) or signed != dict(digests):
        raise SignatureError("the model's signature covers other files than the signed list")
    if stated != found:
        raise SignatureError("the model's signature contradicts itself")


def _object(data: bytes) -> Mapping[str, Any]:
    if len(data) > MAX_BYTES:
        raise SignatureError(f"the model's signature is larger than {MAX_BYTES} bytes")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SignatureError("the model's signature is not JSON") from error
    if not isinstance(value, dict):
        raise SignatureError("the model's signature is not a JSON object")
    return value


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
