"""A request to a CA (PKCS 10, RFC 2986): made for our key, or read where the own CA signs it."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from appliance.errors import CertificateError
from appliance.tls import names
from appliance.tls.keys import MALFORMED, ServerKey

# RFC 5280 appendix A.1, ub-common-name.
MAX_COMMON_NAME = 64


def make(key: ServerKey, wanted: tuple[str, ...]) -> bytes:
    """Return a request in PEM for these names."""
    alternatives = x509.SubjectAlternativeName(names.general(wanted))
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject(wanted))
        .add_extension(alternatives, critical=False)
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
    )


def read(data: bytes) -> tuple[x509.CertificateSigningRequest, tuple[str, ...]]:
    """Return a request and the names in it; raise CertificateError when it does not hold.

    The signature shows that whoever asks has the key.
    """
    try:
        request = x509.load_pem_x509_csr(data)
        stated = names.stated(request.extensions)
        sound = request.is_signature_valid
        _ = request.public_key()
    except MALFORMED as error:
        raise CertificateError(
            "the file holds no request that can be read",
            hint="give the file that `appliance tls request` wrote",
        ) from error
    if not sound:
        raise CertificateError("the request was changed: its signature does not match",
                               hint="make a new one: `appliance tls request`")  # fmt: skip
    return request, names.parse_all(stated)


def subject(wanted: tuple[str, ...]) -> x509.Name:
    """Return a subject that people recognise; browsers read the alternative names only."""
    short = next((name for name in wanted if len(name) <= MAX_COMMON_NAME), None)
    if short is None:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, short)])
