"""A hospital's own CA as it may be met: a root on RSA, a CA below it, and whatever it signs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.tls import names

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
YEAR = timedelta(days=365)
HOST = "llm.hospital.example"


def pem(*certificates: x509.Certificate) -> bytes:
    """Return certificates as one PEM file."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


@dataclass(frozen=True)
class Signer:
    """A CA: its certificate and its key."""

    certificate: x509.Certificate
    key: Any

    def sign(
        self,
        key: Any,
        *extensions: x509.ExtensionType,
        title: str = HOST,
        start: datetime = START,
        life: timedelta = YEAR,
        digest: HashAlgorithm | None = None,
    ) -> x509.Certificate:
        """Return a certificate for this public key with these extensions and no others."""
        builder = _builder(title, self.certificate.subject, key, start, life)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, digest or SHA256())

    def server(self, key: Any, *hosts: str, **what: Any) -> x509.Certificate:
        """Return a good server's certificate for these names."""
        return self.sign(
            key,
            x509.SubjectAlternativeName(names.general(hosts or (HOST,))),
            x509.BasicConstraints(ca=False, path_length=None),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            **what,
        )

    def below(self, title: str = "Hospital Issuing CA", *more: Any, **what: Any) -> Signer:
        """Return a CA that this one has signed."""
        key = what.pop("key", None) or ec.generate_private_key(ec.SECP256R1())
        limits = what.pop("limits", x509.BasicConstraints(ca=True, path_length=None))
        extensions = [*([limits] if limits else []), *more]
        return Signer(self.sign(key.public_key(), *extensions, title=title, **what), key)


def root(title: str = "Hospital Root CA", *, bits: int = 2_048) -> Signer:
    """Return a root."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=bits)
    name = _name(title)
    builder = _builder(title, name, key.public_key(), START, 10 * YEAR).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    return Signer(builder.sign(key, SHA256()), key)


def _builder(
    title: str, issuer: x509.Name, key: Any, start: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(title))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + life)
    )


def _name(title: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
