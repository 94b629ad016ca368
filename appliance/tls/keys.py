"""The server's private key, and which keys are strong enough for anybody in the chain.

Our own are ECDSA on P-256. Keys of a site's CA may be RSA from 2,048 bits or ECDSA from P-256
(BSI TR-02102-2, NIST SP 800-57 part 1). Not here: where a key lies.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from appliance.errors import CertificateError

# What the library raises for a certificate or a request that is none, when it is read or asked.
MALFORMED = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

MIN_RSA_BITS = 2_048
MIN_CURVE_BITS = 256
WEAK_HASHES = frozenset({"md5", "sha1"})
ServerKey = ec.EllipticCurvePrivateKey


def new() -> ServerKey:
    """Return a fresh key for a server."""
    return ec.generate_private_key(ec.SECP256R1())


def to_pem(key: ServerKey) -> bytes:
    """Return the key as nginx reads it: PKCS 8, not encrypted, so that a restart needs nobody."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def from_pem(data: bytes) -> ServerKey:
    """Return the key; raise CertificateError when it is not one of ours."""
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise CertificateError(
            "the server's key file holds no key that can be read",
            hint="make a new one: `appliance tls request`, or `appliance tls renew`",
        ) from error
    if not isinstance(key, ServerKey):
        raise CertificateError("the server's key is not of the kind that this appliance makes")
    return key


def public_digest(key: object) -> str:
    """Return the SHA-256 of a public key (SubjectPublicKeyInfo) in hex."""
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]  # every kind has it
    return hashlib.sha256(info).hexdigest()


def describe(key: object) -> str:
    """Return kind and size of a public key, as people write it."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey")


def weakness(certificate: x509.Certificate) -> str:
    """Return what makes this certificate too weak to rely on, or ''."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        return f"its key has {key.key_size} bits (RSA), and {MIN_RSA_BITS} are the least"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < MIN_CURVE_BITS:
        return f"its key has {key.curve.key_size} bits (ECDSA), and {MIN_CURVE_BITS} are the least"
    strong = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey,
              ed448.Ed448PublicKey)  # fmt: skip
    if not isinstance(key, strong):
        return f"its key is of a kind that is not taken: {describe(key)}"
    algorithm = certificate.signature_hash_algorithm
    # What a root signs itself with proves nothing and weakens nothing.
    if algorithm is not None and algorithm.name in WEAK_HASHES and not is_self_issued(certificate):
        return f"it is signed over {algorithm.name}, which can be forged"
    return ""


def is_self_issued(certificate: x509.Certificate) -> bool:
    """Tell whether it names itself as its issuer, as a root does."""
    return certificate.issuer == certificate.subject
