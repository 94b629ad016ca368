"""Keys in a token: real SoftHSM signs, the PIN is asked for, and never stands in a URI."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root  # type: ignore[attr-defined]  # see trust

from appliance.bundles.desk import keys, pkcs11
from appliance.bundles.desk.pkcs11 import TokenKey, TokenSigner
from appliance.bundles.desk.roots import ROLES, Change
from appliance.bundles.publisher import ModelSource, add_signature
from appliance.errors import BadInputError, ForbiddenError, NotFoundError, UnavailableError
from tests.simulators.publisher_desk import PublisherDesk
from tests.simulators.soft_token import LABEL, PIN, TOKEN, SoftToken, make_token

WITHOUT = """
import sys
sys.modules["pkcs11"] = None
from appliance.bundles.desk import pkcs11
from appliance.errors import UnavailableError
try:
    pkcs11.read_public(pkcs11.TokenKey("/x.so", "t", "o", None), lambda: "")
except UnavailableError as error:
    print(error.hint)
"""


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftToken]:
    """One token for the module: a PKCS#11 library reads its configuration once a process."""
    made = make_token(tmp_path_factory.mktemp("token"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(made.configuration))
        yield made


def asked() -> str:
    return PIN


def refused() -> str:
    raise AssertionError("the PIN was asked for")


def test_a_token_signs_what_its_public_key_verifies(token: SoftToken) -> None:
    """The signature is the ordinary ECDSA one, and the key is named after its label."""
    signer = TokenSigner(TokenKey.parse(token.uri), asked)
    signer.public_key.verify_signature(signer.sign(b"list"), b"list")
    assert keys.holder_of(signer.public_key) == LABEL


def test_a_bundle_is_signed_with_a_token(
    token: SoftToken, small: PublisherDesk, source: ModelSource
) -> None:
    """Root, list, models, snapshot and timestamp: a token can do all that a key file can."""
    signer = TokenSigner(TokenKey.parse(token.uri), asked)
    small.signers["token"] = signer
    former = small.signers["alone"].public_key.keyid
    small.propose(Change(ROLES, (signer.public_key,), (former,)))
    small.sign_root("alone")
    assert small.sign_root("token")
    small.build("stick", sources=[source])
    outcome = small.sign("stick", by="token")
    assert outcome.manifest is not None
    assert outcome.manifest.signers == (signer.public_key.keyid,)


def test_the_public_key_comes_out_without_a_pin(token: SoftToken, tmp_path: Path) -> None:
    """It is public; a key may also be named by its id."""
    uri = f"pkcs11:token={TOKEN};id=%00%01?module-path={token.module}"
    found = pkcs11.read_public(TokenKey.parse(uri), refused)
    written = keys.write_public(tmp_path / "alice", found)
    assert keys.load_public(tmp_path / "alice.pub") == written
    signer = TokenSigner(TokenKey.parse(token.uri), asked)
    assert written.keyid == signer.public_key.keyid


def test_a_wrong_pin_signs_nothing(token: SoftToken) -> None:
    """In words that warn of the lock."""
    signer = TokenSigner(TokenKey.parse(token.uri), lambda: "0000")
    with pytest.raises(ForbiddenError) as caught:
        signer.sign(b"list")
    assert "lock" in caught.value.hint


def test_a_wrong_pin_at_metadata_is_told_as_such(token: SoftToken) -> None:
    """The library that holds the signatures would wrap it into a fault of the program."""
    signer = TokenSigner(TokenKey.parse(token.uri), lambda: "0000")
    metadata: Metadata[Root] = Metadata(Root())
    with pytest.raises(ForbiddenError):
        add_signature(metadata, signer)
    assert metadata.signatures == {}


@pytest.mark.parametrize("part", [f"token={TOKEN};object=bob", "token=other;object=alice"])
def test_a_missing_token_or_key_is_told(token: SoftToken, part: str) -> None:
    """Not found, and not a stack trace."""
    place = TokenKey.parse(f"pkcs11:{part}?module-path={token.module}")
    with pytest.raises(NotFoundError):
        TokenSigner(place, asked)


def test_a_missing_module_is_told() -> None:
    """A wrong path in the URI."""
    place = TokenKey.parse("pkcs11:token=desk;object=alice?module-path=/nowhere/lib.so")
    with pytest.raises(UnavailableError):
        pkcs11.read_public(place, refused)


@pytest.mark.parametrize(
    "uri",
    [
        "pkcs11:",
        "pkcs11:token=desk",
        "pkcs11:token=desk;object=a",
        "pkcs11:object=a?module-path=/x.so",
        "pkcs11:token=desk;object=a;serial=1?module-path=/x.so",
        "pkcs11:token=desk;token=desk;object=a?module-path=/x.so",
        "pkcs11:token=;object=a?module-path=/x.so",
        "pkcs11:token=%ff;object=a?module-path=/x.so",
    ],
)
def test_a_uri_outside_the_subset_is_refused(uri: str) -> None:
    """Unknown, repeated, empty and missing parts."""
    with pytest.raises(BadInputError):
        TokenKey.parse(uri)


@pytest.mark.parametrize("uri", ["pkcs11:token=a;object=b?module-path=/x.so&pin-value=1234",
                                 "pkcs11:token=a;object=b?pin-source=file:/pin"])  # fmt: skip
def test_a_pin_in_a_uri_is_refused(uri: str) -> None:
    """It would stand in the list of processes, so it counts as known."""
    with pytest.raises(BadInputError, match="PIN"):
        TokenKey.parse(uri)


def test_escapes_are_read() -> None:
    """RFC 7512 percent-encoding."""
    place = TokenKey.parse("pkcs11:token=My%20desk;id=%01%ff?module-path=/x.so")
    assert (place.token, place.id, place.label) == ("My desk", b"\x01\xff", None)


def test_without_the_library_the_extra_is_named() -> None:
    """The desk works without it; only a token key asks for it."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, check=True)
    assert b"appliance[hsm]" in done.stdout
