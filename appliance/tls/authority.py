"""An own CA, for a site that has none: made offline, kept on a stick, good for its own names only.

In its folder lie `ca.key` (ECDSA P-384, OpenSSH's format under a passphrase), `ca.pem`, which the
site's computers are told to trust, and every certificate it signed under `issued/`. Whoever has
key and passphrase can vouch for the names that its certificate permits, and for no other site.
Not here: CAs below it, and revocation.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PrivateFormat,
    load_ssh_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance import durable
from appliance.errors import BadInputError, CertificateError, ForbiddenError, NotFoundError
from appliance.tls import checking, names, requests

KEY, CERTIFICATE, ISSUED = "ca.key", "ca.pem", "issued"
CA_DAYS = 3_650
SERVER_DAYS = 397
# Two machines without a network seldom agree on the time to the minute.
EARLIER = timedelta(hours=1)
# bcrypt: about a second for each guess.
ROUNDS = 128
MAX_TITLE = 64
NO_USES = dict.fromkeys(
    ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
     "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False,
)  # fmt: skip


@dataclass(frozen=True)
class Authority:
    """An own CA that can sign; the key is in memory only."""

    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def issue(self, request_pem: bytes, now: float, days: int = SERVER_DAYS) -> bytes:
        """Sign a request; return the certificate followed by the CA's, in PEM.

        Raises CertificateError for a request that does not hold, and for a name that this CA must
        not vouch for. The certificate is kept under `issued/` before it is handed out.
        """
        request, wanted = requests.read(request_pem)
        self._check_names(wanted)
        leaf = self._sign(request, wanted, datetime.fromtimestamp(now, tz=UTC), days)
        pem = leaf.public_bytes(Encoding.PEM)
        kept = self.folder / ISSUED
        kept.mkdir(exist_ok=True)
        durable.create_portable(kept / f"{leaf.serial_number:040x}.pem", [pem], mode=0o644)
        return pem + self.certificate.public_bytes(Encoding.PEM)

    def _check_names(self, wanted: tuple[str, ...]) -> None:
        extensions = self.certificate.extensions
        limits = extensions.get_extension_for_class(x509.NameConstraints).value
        outside = names.forbidden(wanted, limits)
        if outside:
            raise CertificateError(
                f"this CA may not vouch for {', '.join(outside)}",
                hint="ask for names that it permits, or make another CA with --for",
            )

    def _sign(
        self, request: x509.CertificateSigningRequest, wanted: tuple[str, ...],
        now: datetime, days: int,
    ) -> x509.Certificate:  # fmt: skip
        last = self.certificate.not_valid_after_utc
        if now >= last:
            raise CertificateError("this CA has ended", hint="make a new one: `appliance tls ca`")
        if not isinstance(request.public_key(), ec.EllipticCurvePublicKey):
            raise CertificateError("the request is not for a key that this appliance makes",
                                   hint="make it with `appliance tls request`")  # fmt: skip
        signer = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(requests.subject(wanted))
            .issuer_name(self.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - EARLIER)
            .not_valid_after(min(now - EARLIER + timedelta(days=days), last))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(names.general(wanted)),
                critical=not requests.subject(wanted),
            )
            .add_extension(x509.KeyUsage(**{**NO_USES, "digital_signature": True}), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(request.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer),
                critical=False,
            )
            .sign(self.key, SHA256())
        )


def create(
    folder: Path, title: str, permitted: tuple[str, ...], passphrase: bytes, now: float
) -> x509.Certificate:
    """Make a CA in a folder that is new or empty; return its certificate.

    Raises BadInputError for a title or a name that is none, ConflictError when a CA is there.
    """
    if not 1 <= len(title) <= MAX_TITLE or not title.isprintable():
        raise BadInputError(f"the title of a CA has 1 to {MAX_TITLE} characters, on one line")
    if not permitted:
        raise BadInputError("a CA must be limited to names", hint="say --for, such as the domain")
    key = ec.generate_private_key(ec.SECP384R1())
    subtrees = tuple(names.subtree(text) for text in permitted)
    certificate = _self_signed(key, title, subtrees, datetime.fromtimestamp(now, tz=UTC))
    style = PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(ROUNDS).build(passphrase)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, style)
    _new_folder(folder)
    durable.create_portable(folder / KEY, [sealed], mode=0o600)
    try:
        pem = certificate.public_bytes(Encoding.PEM)
        durable.create_portable(folder / CERTIFICATE, [pem], mode=0o644)
    except BaseException:
        (folder / KEY).unlink(missing_ok=True)
        raise
    return certificate


def certificate_in(folder: Path) -> x509.Certificate:
    """Return the certificate of the CA in `folder`; raise NotFoundError when there is none."""
    path = folder / CERTIFICATE
    if not path.is_file():
        raise NotFoundError(f"there is no CA in {folder}", hint="put the stick in, or name its "
                            "folder; `appliance tls ca` makes one")  # fmt: skip
    return checking.read(path.read_bytes(), str(path))[0]


def unlock(folder: Path, passphrase: bytes) -> Authority:
    """Return the CA in `folder`; raise NotFoundError, or ForbiddenError for a wrong passphrase."""
    certificate = certificate_in(folder)
    try:
        key = load_ssh_private_key((folder / KEY).read_bytes(), passphrase)
    except FileNotFoundError as error:
        raise NotFoundError(f"{folder} holds no key of a CA", hint="check the stick") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ForbiddenError(
            "the CA's key does not open: the passphrase is wrong, or the file is damaged",
            hint="type it again; there is no way around it, only a new CA",
        ) from error
    if (
        not isinstance(key, ec.EllipticCurvePrivateKey)
        or certificate.public_key() != key.public_key()
    ):
        raise CertificateError(f"key and certificate in {folder} are not of one CA",
                               hint="take the copy of the folder where they are")  # fmt: skip
    return Authority(folder, certificate, key)


def _new_folder(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise NotFoundError(f"there is no folder {folder.parent}", hint="put the stick in")
    if not folder.exists():
        folder.mkdir(mode=0o700)
        os.chmod(folder, 0o700)


def _self_signed(
    key: ec.EllipticCurvePrivateKey,
    title: str,
    permitted: tuple[x509.GeneralName, ...],
    now: datetime,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(**{**NO_USES, "key_cert_sign": True, "crl_sign": True}), critical=True
        )
        .add_extension(names.constraints(permitted), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA384())
    )
