"""Key files of people: a private key never lies on a disk without a passphrase over it.

One kind of key only, ECDSA on P-256: TUF, OpenSSF Model Signing and PKCS#11 tokens all take it.
`NAME.key` is OpenSSH's private key format (bcrypt KDF, AES-256-CTR), so other tools can read it;
`NAME.pub` is the public key as PEM. Not here: keys that live in a token (`pkcs11`), asking people.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
    load_ssh_private_key,
)
from securesystemslib.signer import (
    CryptoSigner,
    SSlibKey,
)

from appliance import durable
from appliance.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError

SCHEME = "ecdsa-sha2-nistp256"
HOLDER_FIELD = "x-appliance-holder"
# bcrypt rounds: about a second for each guess (ssh-keygen's default is 24 since OpenSSH 9.4).
ROUNDS = 128
MIN_PASSPHRASE = 12
MAX_FILE_BYTES = 65_536
HOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")


@dataclass(frozen=True)
class KeyPair:
    """Where a new key pair lies, its public half, and what signs with it."""

    private: Path
    public: Path
    key: SSlibKey
    signer: CryptoSigner = field(repr=False)


def check_passphrase(passphrase: str) -> bytes:
    """Return the passphrase as bytes; raise BadInputError when a thief would guess it."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise BadInputError(
            f"the passphrase has {len(passphrase)} characters, and {MIN_PASSPHRASE} are the least",
            hint="whoever finds the key file can try passphrases for years; take four or five "
            "random words",
        )
    return passphrase.encode()


def create(stem: Path, passphrase: str, *, rounds: int = ROUNDS) -> KeyPair:
    """Make `<stem>.key` (mode 0600, encrypted) and `<stem>.pub`; both are there, or neither.

    Raises ConflictError when one of them exists, BadInputError for a weak passphrase.
    """
    secret = check_passphrase(passphrase)
    pair = _paths(stem)
    private_key = ec.generate_private_key(ec.SECP256R1())
    style = PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(rounds).build(secret)
    sealed = private_key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, style)
    durable.create_portable(pair[0], [sealed], mode=0o600)
    try:
        key = _put_public(pair[1], private_key.public_key(), stem.name)
    except BaseException:
        pair[0].unlink(missing_ok=True)
        raise
    return KeyPair(*pair, key, CryptoSigner(private_key, key))


def write_public(stem: Path, key: ec.EllipticCurvePublicKey) -> SSlibKey:
    """Write `<stem>.pub` (PEM), which must not exist yet; return it under its name."""
    return _put_public(_paths(stem)[1], key, stem.name)


def load_public(path: Path) -> SSlibKey:
    """Return the public key in a PEM file; its holder is the file's name without `.pub`."""
    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInputError(
            f"{path} holds no public key", hint="give the .pub file of `appliance publisher key`"
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
        raise BadInputError(
            f"{path} holds a key of another kind than ECDSA on P-256",
            hint="make one with `appliance publisher key`",
        )
    return named(key, path.name.removesuffix(".pub"))


def load_private(path: Path, passphrase: str) -> CryptoSigner:
    """Return a signer of the key file `path`; raise ForbiddenError for a wrong passphrase."""
    data = _read(path)
    if not passphrase:
        raise BadInputError("no passphrase was given", hint=f"type the passphrase of {path.name}")
    if _is_open(data):
        raise BadInputError(
            f"{path} is not protected by a passphrase, and is not used",
            hint="treat the key as known to others; make a new one and revoke this one",
        )
    try:
        key = load_ssh_private_key(data, passphrase.encode())
    except UnsupportedAlgorithm as error:
        raise BadInputError(f"{path} is protected in a way not known here") from error
    except ValueError as error:
        if b"OPENSSH PRIVATE KEY" not in data:
            raise BadInputError(
                f"{path} is no key file", hint="give the .key file of `appliance publisher key`"
            ) from error
        raise ForbiddenError(
            f"the passphrase does not open {path.name}",
            hint="nothing was signed; try again, and mind the keyboard's layout",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != ec.SECP256R1.name:
        raise BadInputError(f"{path} holds a key of another kind than ECDSA on P-256")
    return CryptoSigner(key, named(key.public_key(), path.stem))


def _is_open(data: bytes) -> bool:
    """Tell whether a private key file needs no passphrase at all."""
    try:
        load_ssh_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def holder_of(key: SSlibKey) -> str:
    """Return who holds a key, as its publisher named them; empty when unnamed."""
    name = key.unrecognized_fields.get(HOLDER_FIELD, "")
    return name if isinstance(name, str) and HOLDER.fullmatch(name) else ""


def named(key: ec.EllipticCurvePublicKey, holder: str) -> SSlibKey:
    """Return a public key under the name of its holder, when the name can be one."""
    found = SSlibKey.from_crypto(key, scheme=SCHEME)
    if HOLDER.fullmatch(holder):
        # Signed with the root, so that whoever reads a root knows whose key it is.
        found.unrecognized_fields[HOLDER_FIELD] = holder
    return found


def _paths(stem: Path) -> tuple[Path, Path]:
    """Return where a pair goes; raise unless there is room for both names."""
    if HOLDER.fullmatch(stem.name) is None:
        raise BadInputError(
            f"{stem.name!r} cannot name a key",
            hint="use letters, digits, dot, hyphen and underscore, 63 at most",
        )
    if not stem.parent.is_dir():
        raise NotFoundError(f"there is no folder {stem.parent}", hint="make the folder first")
    pair = (stem.parent / f"{stem.name}.key", stem.parent / f"{stem.name}.pub")
    for path in pair:
        if path.exists():
            raise ConflictError(
                f"{path} exists already and was left as it is", hint="name another file"
            )
    return pair


def _put_public(path: Path, key: ec.EllipticCurvePublicKey, holder: str) -> SSlibKey:
    durable.create_portable(path, [_pem(key)], mode=0o644)
    return named(key, holder)


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise BadInputError(f"{path} is too large for a key file")
    return data
