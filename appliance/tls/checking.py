"""Is this certificate fit to serve with this key? Bytes and time in, a `Checked` out (pure).

The steps, in this order; each refusal says what to do next:

1. Read every certificate in the files; a private key among them is refused.
2. Find the one that was made for our key.
3. It is a server's: no CA, digital signatures, server authentication (RFC 5280 section 4.2.1).
4. It states every name that was asked for.
5. Now lies between its first and its last moment.
6. Follow the signatures up to a root; the order in the files does not matter. No key and no
   signature on the way is weak.
7. Each one above may sign certificates, is valid now, and vouches for these names.
8. No certificate is left over.

Not here: revocation. A site without a network has no revocation lists; lifetimes are short.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.clock import rfc3339
from appliance.errors import CertificateError
from appliance.tls import keys, names
from appliance.tls.keys import MALFORMED

T = TypeVar("T", bound=x509.ExtensionType)
MAX_BYTES = 262_144
MAX_CERTIFICATES = 16
# Browsers refuse longer ones from public CAs; some count also those from a site's own.
LONGEST_DAYS = 398
DAY_S = 86_400
ASK_AGAIN = "have the CA sign the newest request; `appliance tls show` says where it stands"


@dataclass(frozen=True)
class Checked:
    """A server's certificate that may be used: `chain` begins with it and ends below `root`.

    `until` is when the first of the chain ends, in seconds since 1970.
    """

    chain: tuple[x509.Certificate, ...]
    root: x509.Certificate
    names: tuple[str, ...]
    until: float

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.leaf)

    def chain_pem(self) -> bytes:
        """Return what the edge sends: the server's certificate and the ones between, no root."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in self.chain)

    def root_pem(self) -> bytes:
        return self.root.public_bytes(Encoding.PEM)

    def facts(self) -> dict[str, str | list[str]]:
        """Return what the record says of it."""
        return {
            "sha256": self.fingerprint,
            "ca_sha256": fingerprint(self.root),
            "names": list(self.names),
            "until": rfc3339(self.until),
        }

    @property
    def too_long(self) -> bool:
        """Tell whether browsers may refuse it for its length alone."""
        return self.until - self.leaf.not_valid_before_utc.timestamp() > LONGEST_DAYS * DAY_S


def check(
    certificates: Sequence[x509.Certificate], key: object, wanted: Iterable[str], now: float
) -> Checked:
    """Return the certificate for `key` (public) with its chain; raise CertificateError."""
    leaf = _ours(certificates, keys.public_digest(key))
    _check_server(leaf)
    stated = _check_names(leaf, tuple(wanted))
    _check_time(leaf, now)
    path = _path(leaf, list(certificates))
    for depth, issuer in enumerate(path[1:]):
        _check_issuer(issuer, depth, stated, now)
    _refuse_left_over(certificates, path)
    until = min(one.not_valid_after_utc.timestamp() for one in path)
    return Checked(tuple(path[:-1]), path[-1], stated, until)


def read(data: bytes, file: str = "the file") -> list[x509.Certificate]:
    """Return every certificate in PEM, or the one in DER; raise CertificateError."""
    if len(data) > MAX_BYTES:
        raise CertificateError(f"{file} is too large for certificates", hint="check the file")
    if b"PRIVATE KEY" in data:
        raise CertificateError(
            f"{file} holds a private key; nothing was taken from it",
            hint="the key is made here and leaves this machine never: have the CA sign the file "
            "of `appliance tls request`, and give only certificates",
        )
    try:
        if b"-----BEGIN" in data:
            found = x509.load_pem_x509_certificates(data)
        else:
            found = [x509.load_der_x509_certificate(data)]
        # Parsed when asked for: what cannot be read is told here, and not in the middle of a check.
        for one in found:
            _ = one.public_key(), one.extensions, one.signature_hash_algorithm
    except MALFORMED as error:
        raise CertificateError(
            f"{file} holds no certificate that can be read",
            hint="ask for it as PEM (.pem, .crt) or DER (.cer); PKCS 12 (.p12, .pfx) holds keys "
            "and is not taken",
        ) from error
    if len(found) > MAX_CERTIFICATES:
        raise CertificateError(f"{file} holds {len(found)} certificates", hint="check the file")
    return found


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate in hex, as browsers show it."""
    return certificate.fingerprint(SHA256()).hex()


def title(name: x509.Name) -> str:
    """Return what people call the one of this name."""
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for found in name.get_attributes_for_oid(kind):
            return str(found.value)
    return name.rfc4514_string() or "(no name)"


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether it may sign other certificates."""
    limits = _extension(certificate, x509.BasicConstraints)
    return limits is not None and limits.ca


def _ours(certificates: Sequence[x509.Certificate], digest: str) -> x509.Certificate:
    for one in certificates:
        if keys.public_digest(one.public_key()) == digest:
            return one
    if certificates and all(map(is_authority, certificates)):
        raise CertificateError(
            f"{title(certificates[0].subject)} is the certificate of a CA, not of this server",
            hint="give the file that the CA made from the request, together with this one",
        )
    raise CertificateError("no certificate among these was made for this server's key",
                           hint=ASK_AGAIN)  # fmt: skip


def _check_server(leaf: x509.Certificate) -> None:
    if is_authority(leaf):
        raise CertificateError(
            "the certificate for this server's key is one of a CA: whoever takes the edge could "
            "vouch for any site",
            hint="have it signed as a server's certificate (basicConstraints CA:FALSE)",
        )
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise CertificateError("the certificate may not be used for digital signatures",
                               hint="have it signed with keyUsage digitalSignature")  # fmt: skip
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    served = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if purposes is not None and not served & set(purposes):
        raise CertificateError("the certificate is not for servers",
                               hint="have it signed with extendedKeyUsage serverAuth")  # fmt: skip


def _check_names(leaf: x509.Certificate, wanted: tuple[str, ...]) -> tuple[str, ...]:
    stated = names.stated(leaf.extensions)
    if not stated:
        raise CertificateError(
            "the certificate names no server: browsers no longer read the common name",
            hint="have it signed with the subject alternative names of the request",
        )
    absent = names.missing(wanted, stated)
    if absent:
        raise CertificateError(
            f"the certificate is for {', '.join(stated)} and not for {', '.join(absent)}",
            hint="have the CA sign all names of the request, or make a request for those it will",
        )
    return stated


def _check_time(certificate: x509.Certificate, now: float) -> None:
    name = title(certificate.subject)
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < first.timestamp():
        raise CertificateError(
            f"the certificate of {name} begins only at {rfc3339(first.timestamp())}",
            hint="look at this machine's clock; if it is right, wait, or ask the CA",
        )
    if now >= last.timestamp():
        raise CertificateError(
            f"the certificate of {name} has ended at {rfc3339(last.timestamp())}",
            hint="look at this machine's clock; if it is right, have a new one signed",
        )


def _path(leaf: x509.Certificate, pool: list[x509.Certificate]) -> list[x509.Certificate]:
    """Return the certificates from the server's up to a root, each signed by the next one."""
    path = [leaf]
    _check_strength(leaf)
    while not (len(path) > 1 and keys.is_self_issued(path[-1]) and _signed_by(path[-1], path[-1])):
        above = [one for one in pool if one not in path and _signed_by(path[-1], one)]
        if not above:
            raise CertificateError(
                f"the chain is not complete: {title(path[-1].issuer)} signed the certificate of "
                f"{title(path[-1].subject)}, and its own certificate is not there",
                hint="ask the CA for its chain up to the root, and give all files at once",
            )
        # A CA may have two certificates for one key; one that ends the chain is enough.
        path.append(max(above, key=keys.is_self_issued))
        _check_strength(path[-1])
    return path


def _check_issuer(
    issuer: x509.Certificate, depth: int, stated: tuple[str, ...], now: float
) -> None:
    name = title(issuer.subject)
    limits = _extension(issuer, x509.BasicConstraints)
    usage = _extension(issuer, x509.KeyUsage)
    if limits is None or not limits.ca or (usage is not None and not usage.key_cert_sign):
        raise CertificateError(f"{name} signed a certificate and is no CA", hint=ASK_AGAIN)
    if limits.path_length is not None and depth > limits.path_length:
        raise CertificateError(
            f"{name} may have {limits.path_length} CAs below it and has {depth}", hint=ASK_AGAIN
        )
    _check_time(issuer, now)
    permitted = _extension(issuer, x509.NameConstraints)
    outside = [] if permitted is None else names.forbidden(stated, permitted)
    if outside:
        raise CertificateError(
            f"{name} may not vouch for {', '.join(outside)}",
            hint="ask for a name that it may vouch for, or make a CA for this one",
        )


def _check_strength(certificate: x509.Certificate) -> None:
    # Before its signature is looked at: the library knows no weak ones and finds them all wrong.
    weak = keys.weakness(certificate)
    if weak:
        raise CertificateError(
            f"the certificate of {title(certificate.subject)} is weak: {weak}",
            hint="ask the CA for a stronger one",
        )


def _refuse_left_over(
    certificates: Sequence[x509.Certificate], path: Sequence[x509.Certificate]
) -> None:
    left = [title(one.subject) for one in certificates if one not in path]
    if left:
        raise CertificateError(
            f"these have nothing to do with it: {', '.join(left)}", hint="leave them out"
        )


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _extension(certificate: x509.Certificate, kind: type[T]) -> T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except MALFORMED as error:
        raise CertificateError(
            f"the certificate of {title(certificate.subject)} is not well formed: {error}",
            hint=ASK_AGAIN,
        ) from error
