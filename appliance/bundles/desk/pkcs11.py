"""Keys that never leave a token (smart card, HSM), named by a PKCS#11 URI and reached by PIN.

The subset of RFC 7512 that is read: `pkcs11:token=...;object=...;id=%01?module-path=/...so`. A
PIN in the URI is refused, because everybody on a machine can read the arguments of a process.
securesystemslib's own HSMSigner takes a key by number only and its module from the environment;
this one takes what the URI says. The library for it (python-pkcs11) is an optional dependency.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.signer import (
    Signature,
    Signer,
    SSlibKey,
)

from appliance.bundles.desk import keys
from appliance.errors import BadInputError, ForbiddenError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    import pkcs11 as _pkcs11

PREFIX = "pkcs11:"
PATH_NAMES = frozenset({"token", "object", "id", "type"})
QUERY_NAMES = frozenset({"module-path"})
HALF = 32

Pin = Callable[[], str]


@dataclass(frozen=True)
class TokenKey:
    """Where a key lives: the module (a shared library), the token, the key's label or id."""

    module: str
    token: str
    label: str | None
    id: bytes | None

    @classmethod
    def parse(cls, uri: str) -> TokenKey:
        """Read a PKCS#11 URI; raise BadInputError for what is missing or not known."""
        path, _, query = uri.removeprefix(PREFIX).partition("?")
        named = _attributes(path, ";", PATH_NAMES)
        module = _attributes(query, "&", QUERY_NAMES).get("module-path", b"")
        if not module or "token" not in named or not ({"object", "id"} & named.keys()):
            raise BadInputError(
                "the PKCS#11 URI does not name a module-path, a token, and an object or id",
                hint="for example pkcs11:token=desk;object=alice?module-path=/usr/lib/softhsm/"
                "libsofthsm2.so",
            )
        label = named.get("object")
        return cls(
            _text(module), _text(named["token"]), _text(label) if label else None, named.get("id")
        )

    @property
    def holder(self) -> str:
        """Return a name for the key's holder: the key's label, or the token's."""
        return self.label or self.token


class TokenSigner(Signer):
    """Signs inside the token; `pin` is asked once and kept in memory alone."""

    def __init__(self, place: TokenKey, pin: Pin) -> None:
        self._place = place
        self._pin = pin()
        self._key = keys.named(read_public(place, lambda: self._pin), place.holder)

    @property
    def public_key(self) -> SSlibKey:
        return self._key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Any, secrets_handler: Any = None
    ) -> TokenSigner:
        # The base class demands this way in; a token is opened by `TokenKey` alone.
        raise NotImplementedError("made from a TokenKey")

    def sign(self, payload: bytes) -> Signature:
        """Return the signature of `payload`; raises UnavailableError when the token refuses."""
        library = _library()
        with _translated(library), _session(library, self._place, self._pin) as session:
            found = session.get_key(
                library.ObjectClass.PRIVATE_KEY,
                library.KeyType.EC,
                label=self._place.label,
                id=self._place.id,
            )
            raw = cast("_pkcs11.SignMixin", found).sign(
                hashlib.sha256(payload).digest(), mechanism=library.Mechanism.ECDSA
            )
        r, s = int.from_bytes(raw[:HALF], "big"), int.from_bytes(raw[HALF:], "big")
        return Signature(self._key.keyid, encode_dss_signature(r, s).hex())


def read_public(place: TokenKey, pin: Pin) -> ec.EllipticCurvePublicKey:
    """Return the public key of a token's key; the PIN is asked only where it is hidden without."""
    library = _library()
    with _translated(library):
        try:
            key = _public(library, place, None)
        except library.exceptions.NoSuchKey:
            key = _public(library, place, pin())
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
        raise BadInputError(f"the key in the token {place.token} is no ECDSA key on P-256")
    return key


def _public(library: ModuleType, place: TokenKey, pin: str | None) -> object:
    from pkcs11.util.ec import encode_ec_public_key

    with _session(library, place, pin) as session:
        found = session.get_key(
            library.ObjectClass.PUBLIC_KEY, library.KeyType.EC, label=place.label, id=place.id
        )
        return load_der_public_key(encode_ec_public_key(cast("_pkcs11.PublicKey", found)))


@contextlib.contextmanager
def _session(library: ModuleType, place: TokenKey, pin: str | None) -> Iterator[_pkcs11.Session]:
    token = library.lib(place.module).get_token(token_label=place.token)
    with token.open(user_pin=pin) as session:
        yield session


def _library() -> ModuleType:
    """Return python-pkcs11; raise UnavailableError that names the extra where it is missing."""
    try:
        import pkcs11
    except ImportError as error:
        raise UnavailableError(
            "keys in a token need the library python-pkcs11, which is not installed here",
            hint="install the appliance with its extra `appliance[hsm]`, or use a key file",
        ) from error
    return pkcs11


@contextlib.contextmanager
def _translated(library: ModuleType) -> Iterator[None]:
    """Turn what the token says into words for a person."""
    known = library.exceptions
    try:
        yield
    except (known.PinIncorrect, known.PinInvalid, known.PinLenRange) as error:
        raise ForbiddenError(
            "the token does not take this PIN",
            hint="nothing was signed; too many wrong PINs lock the token",
        ) from error
    except (known.NoSuchToken, known.NoSuchKey) as error:
        raise NotFoundError(
            "there is no such token, or no such key in it",
            hint="check the URI; `pkcs11-tool --list-objects` shows what there is",
        ) from error
    except known.PKCS11Error as error:
        raise UnavailableError(
            f"the token did not do its part ({type(error).__name__})",
            hint="nothing was signed; check that the token is plugged in and the URI fits it",
        ) from error
    except RuntimeError as error:
        raise UnavailableError(
            "the PKCS#11 module cannot be loaded", hint="check module-path in the URI"
        ) from error


def _attributes(text: str, separator: str, known: frozenset[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for item in filter(None, text.split(separator)):
        name, _, value = item.partition("=")
        if name.startswith("pin-"):
            raise BadInputError(
                "the PKCS#11 URI holds a PIN, which others can read there",
                hint="change the PIN, and use --pin-file or type it when asked",
            )
        if name not in known or name in found or not value:
            raise BadInputError(f"{name!r} in the PKCS#11 URI is unknown, empty or there twice")
        found[name] = unquote_to_bytes(value)
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadInputError("the PKCS#11 URI holds a name that is not UTF-8") from error
