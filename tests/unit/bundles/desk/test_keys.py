"""Key files: encrypted, private, whole or not there, and never a weak passphrase."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from appliance.bundles.desk import keys
from appliance.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError
from tests.simulators.publisher_desk import PASSPHRASE, ROUNDS


def make(stem: Path) -> keys.KeyPair:
    return keys.create(stem, PASSPHRASE, rounds=ROUNDS)


def test_a_pair_signs_and_verifies(tmp_path: Path) -> None:
    """The private half opens with its passphrase, and the public half fits it."""
    pair = make(tmp_path / "alice")
    signer = keys.load_private(pair.private, PASSPHRASE)
    assert signer.public_key == keys.load_public(pair.public) == pair.key
    pair.key.verify_signature(signer.sign(b"list"), b"list")


def test_a_key_bears_its_holders_name(tmp_path: Path) -> None:
    """The file's name goes into the key, so that a signed root says whose it is."""
    assert keys.holder_of(make(tmp_path / "alice").key) == "alice"


def test_the_private_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0600, whatever else is readable."""
    pair = make(tmp_path / "alice")
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o600


def test_the_private_key_lies_encrypted(tmp_path: Path) -> None:
    """OpenSSH's format with a bcrypt KDF; nothing of the key can be read off the file."""
    pair = make(tmp_path / "alice")
    text = pair.private.read_text()
    assert text.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    inner = "".join(text.splitlines()[1:-1])
    import base64

    head = base64.b64decode(inner)[:60]
    assert b"bcrypt" in head
    assert b"aes256-ctr" in head


def test_a_guess_is_made_slow() -> None:
    """Key files get many more KDF rounds than the format's own default of 16."""
    assert keys.ROUNDS >= 100


def test_a_wrong_passphrase_opens_nothing(tmp_path: Path) -> None:
    """It is refused in words, without a hint how far off it was."""
    pair = make(tmp_path / "alice")
    with pytest.raises(ForbiddenError):
        keys.load_private(pair.private, PASSPHRASE + "!")


@pytest.mark.parametrize("passphrase", ["", "short", "eleven char"])
def test_a_weak_passphrase_makes_no_key(tmp_path: Path, passphrase: str) -> None:
    """Under twelve characters there is a reason instead of a file."""
    with pytest.raises(BadInputError, match="12 are the least"):
        keys.create(tmp_path / "alice", passphrase)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_passphrase_opens_nothing(tmp_path: Path) -> None:
    """No passphrase is not a passphrase."""
    pair = make(tmp_path / "alice")
    with pytest.raises(BadInputError, match="no passphrase"):
        keys.load_private(pair.private, "")


def test_a_key_without_a_passphrase_is_not_used(tmp_path: Path) -> None:
    """A key that lay open counts as known to others."""
    open_key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )
    (tmp_path / "open.key").write_bytes(open_key)
    with pytest.raises(BadInputError, match="not protected"):
        keys.load_private(tmp_path / "open.key", PASSPHRASE)


@pytest.mark.parametrize("taken", ["alice.key", "alice.pub"])
def test_an_existing_file_is_left_alone(tmp_path: Path, taken: str) -> None:
    """Neither half replaces a file, and no other half appears beside it."""
    (tmp_path / taken).write_text("mine")
    with pytest.raises(ConflictError):
        make(tmp_path / "alice")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(taken, "mine")]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """No folder is made on the way: a typing mistake would hide a key."""
    with pytest.raises(NotFoundError):
        make(tmp_path / "nowhere" / "alice")


@pytest.mark.parametrize("name", [".hidden", "a b", "x" * 64, "-alice"])
def test_a_name_that_cannot_be_shown_is_refused(tmp_path: Path, name: str) -> None:
    """Names end up signed in a root, and on terminals."""
    with pytest.raises(BadInputError):
        make(tmp_path / name)


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    """One kind of key for everything: ECDSA on P-256."""
    data = (
        ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "other.pub").write_bytes(data)
    with pytest.raises(BadInputError, match="another kind"):
        keys.load_public(tmp_path / "other.pub")


@pytest.mark.parametrize("data", [b"", b"no key", b"x" * 70_000])
def test_what_is_no_key_is_refused(tmp_path: Path, data: bytes) -> None:
    """Rubbish is told apart from a wrong passphrase."""
    (tmp_path / "odd.key").write_bytes(data)
    with pytest.raises(BadInputError):
        keys.load_private(tmp_path / "odd.key", PASSPHRASE)
    with pytest.raises(BadInputError):
        keys.load_public(tmp_path / "odd.key")
