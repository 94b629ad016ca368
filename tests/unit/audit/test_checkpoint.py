"""Signed checkpoints: what is read, what is refused, and whose signature holds."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from appliance.audit.checkpoint import (
    COSIGNATURE,
    MAX_NOTE_BYTES,
    MAX_SIZE,
    Checkpoint,
    Signature,
    SignedCheckpoint,
    Signer,
    VerifierKey,
    cosigned_at,
    parse_signature,
)
from appliance.errors import BadInputError, VerificationError

ORIGIN = "hospital/audit/0123456789abcdef"
SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SECRET.public_key().public_bytes_raw()
SIGNER = Signer(ORIGIN, SECRET)
WITNESS = Signer("witness.example/w1", Ed25519PrivateKey.from_private_bytes(b"w" * 32), COSIGNATURE)
POINT = Checkpoint(ORIGIN, 1_000, hashlib.sha256(b"root").digest())
SIGNED = SIGNER.sign(POINT)
NOTE = SIGNED.note()
LINES = NOTE.split("\n")


def test_note_has_the_public_form() -> None:
    """A note is three lines, an empty one and the signature, put together here by hand."""
    text = f"{ORIGIN}\n1000\n{base64.b64encode(POINT.root).decode()}\n"
    key_id = hashlib.sha256(ORIGIN.encode() + b"\n\x01" + PUBLIC).digest()[:4]
    signature = base64.b64encode(key_id + SECRET.sign(text.encode())).decode()
    assert f"{text}\n\N{EM DASH} {ORIGIN} {signature}\n" == NOTE


def test_key_has_the_public_form() -> None:
    """A verifier key is name, id and key, put together here by hand."""
    key_id = hashlib.sha256(ORIGIN.encode() + b"\n\x01" + PUBLIC).hexdigest()[:8]
    text = f"{ORIGIN}+{key_id}+{base64.b64encode(bytes([1]) + PUBLIC).decode()}"
    assert str(SIGNER.key) == text
    assert VerifierKey.parse(text + "\n") == SIGNER.key


def test_key_of_another_project_is_read() -> None:
    """The key of the Go checksum database, as its documentation prints it, has the id it says."""
    text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    key = VerifierKey.parse(text)
    assert (key.name, key.id.hex(), str(key)) == ("sum.golang.org", "033de0ae", text)


def test_note_is_read_as_it_was_written() -> None:
    """Reading and writing give the same, as text and as bytes."""
    assert SignedCheckpoint.parse(NOTE) == SignedCheckpoint.parse(NOTE.encode()) == SIGNED
    assert SignedCheckpoint.parse(NOTE).note() == NOTE
    assert SIGNED.verify(SIGNER.key) == POINT


@given(st.integers(0, MAX_SIZE), st.binary(min_size=32, max_size=32))
def test_every_checkpoint_survives(size: int, root: bytes) -> None:
    """Any size and root can be signed, read and verified."""
    note = SIGNER.sign(Checkpoint(ORIGIN, size, root)).note()
    assert SignedCheckpoint.parse(note).verify(SIGNER.key) == Checkpoint(ORIGIN, size, root)


def with_line(number: int, text: str) -> str:
    return "\n".join([*LINES[:number], text, *LINES[number + 1 :]])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "\n\n",
        "\n\n\n\n\n",
        NOTE[:-1],
        NOTE + "\n",
        "\n" + NOTE,
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\n\n", "\nextension line\n\n"),
        NOTE.replace("\n", "\r\n"),
        NOTE.replace("\n\n", "\n\n\n"),
        SIGNED.checkpoint.text() + "\n",
        SIGNED.checkpoint.text(),
        with_line(0, ""),
        with_line(0, "a b"),
        with_line(0, "a+b"),
        with_line(0, "a\tb"),
        with_line(0, "a\x00b"),
        with_line(0, "a\u00a0b"),
        with_line(0, "a\ud800b"),
        with_line(1, ""),
        with_line(1, "01000"),
        with_line(1, "-1"),
        with_line(1, "+1000"),
        with_line(1, " 1000"),
        with_line(1, "1e3"),
        with_line(1, "1_000"),
        with_line(1, "\u0661"),
        with_line(1, str(MAX_SIZE + 1)),
        with_line(1, "9" * 5_000),
        with_line(2, ""),
        with_line(2, "AAAA"),
        with_line(2, base64.b64encode(bytes(31)).decode()),
        with_line(2, base64.b64encode(bytes(33)).decode()),
        with_line(2, LINES[2] + "="),
        with_line(2, LINES[2][:-2] + ("B=" if LINES[2][-2] != "B" else "C=")),
        with_line(2, LINES[2].replace("=", "")),
        with_line(2, "*" * 44),
        with_line(4, LINES[4].replace("\N{EM DASH}", "-")),
        with_line(4, LINES[4].replace("\N{EM DASH} ", "\N{EM DASH}")),
        with_line(4, f"\N{EM DASH} {ORIGIN}"),
        with_line(4, f"\N{EM DASH} {ORIGIN} "),
        with_line(4, f"\N{EM DASH} {ORIGIN} AAAA"),
        with_line(4, f"\N{EM DASH}  {LINES[4].split()[2]}"),
        with_line(4, f"\N{EM DASH} a b {LINES[4].split()[2]}"),
        with_line(4, LINES[4] + " "),
        NOTE + LINES[4] + "x",
        NOTE + LINES[4] * 2_000 + "\n",
        "x" * (MAX_NOTE_BYTES + 1),
    ],
)
def test_what_is_no_checkpoint_is_refused(note: str) -> None:
    """Anything that is not exactly of the form is refused with words, never a stack trace."""
    with pytest.raises(BadInputError):
        SignedCheckpoint.parse(note)


def test_note_that_is_not_utf8_is_refused() -> None:
    """Bytes that are no text are no checkpoint."""
    with pytest.raises(BadInputError, match="UTF-8"):
        SignedCheckpoint.parse(NOTE.encode() + b"\xff\n")


@given(st.data())
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    """One changed byte anywhere in a note is refused, at reading or at verifying."""
    raw = bytearray(NOTE.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((BadInputError, VerificationError)):
        SignedCheckpoint.parse(bytes(raw)).verify(SIGNER.key)


def test_signature_of_another_key_does_not_count() -> None:
    """A note signed by another key of the same name, or by the same key under another name."""
    other = Signer(ORIGIN, Ed25519PrivateKey.generate())
    renamed = Signer("other", SECRET)
    for key in (other.key, renamed.key, WITNESS.key):
        with pytest.raises(VerificationError, match="not signed by"):
            SIGNED.verify(key)
    forged = SignedCheckpoint(POINT, (Signature(ORIGIN, SIGNER.key.id, bytes(64)),))
    with pytest.raises(VerificationError, match="does not hold"):
        forged.verify(SIGNER.key)
    short = SignedCheckpoint(POINT, (Signature(ORIGIN, SIGNER.key.id, bytes(63)),))
    with pytest.raises(VerificationError, match="wrong length"):
        short.verify(SIGNER.key)


def test_witness_signs_checkpoint_and_time() -> None:
    """A cosignature covers the checkpoint and the time, checked here without the code."""
    signature = WITNESS.cosign(POINT, 1_769_852_000)
    both = SIGNED.with_signatures([signature])
    message = b"cosignature/v1\ntime 1769852000\n" + POINT.text().encode()
    Ed25519PublicKey.from_public_bytes(WITNESS.key.public).verify(signature.data[8:], message)
    read = SignedCheckpoint.parse(both.note())
    assert read.signed_by([SIGNER.key, WITNESS.key]) == [SIGNER.key, WITNESS.key]
    assert cosigned_at(read.signatures[1]) == 1_769_852_000
    assert both.with_signatures([signature]) == both
    late = Signature(signature.name, signature.key_id, bytes(8) + signature.data[8:])
    with pytest.raises(VerificationError, match="does not hold"):
        SIGNED.with_signatures([late]).verify(WITNESS.key)


def test_unknown_signatures_are_carried_along() -> None:
    """A note may have signatures of others; those whose key is not asked for do not matter."""
    stranger = Signature("stranger", b"abcd", b"x" * 20)
    read = SignedCheckpoint.parse(SIGNED.with_signatures([stranger]).note())
    assert read.verify(SIGNER.key) == POINT
    assert read.signed_by([WITNESS.key]) == []


def test_false_signature_is_not_passed_over() -> None:
    """Of the keys asked for, one whose signature is false is an error and not left out."""
    false = Signature(WITNESS.key.name, WITNESS.key.id, bytes(72))
    with pytest.raises(VerificationError):
        SIGNED.with_signatures([false]).signed_by([SIGNER.key, WITNESS.key])


def test_log_and_witness_do_not_sign_for_each_other() -> None:
    """Each key has one purpose."""
    with pytest.raises(BadInputError):
        WITNESS.sign(POINT)
    with pytest.raises(BadInputError):
        SIGNER.cosign(POINT, 0)
    with pytest.raises(BadInputError):
        cosigned_at(SIGNED.signatures[0])


def test_signature_line_is_read_alone() -> None:
    """A witness answers with signature lines."""
    signature = WITNESS.cosign(POINT, 5)
    assert parse_signature(signature.line()) == signature
    with pytest.raises(BadInputError):
        parse_signature("nonsense\n")


def _key(material: bytes, name: str = "n") -> str:
    key_id = hashlib.sha256(name.encode() + b"\n" + material).hexdigest()[:8]
    return f"{name}+{key_id}+{base64.b64encode(material).decode()}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n",
        "n+x",
        "n++",
        str(SIGNER.key).replace("+", " "),
        str(SIGNER.key)[:-4],
        str(SIGNER.key) + "A",
        str(SIGNER.key).replace(ORIGIN, "other"),
        "a b" + str(SIGNER.key),
        "\ud800" + str(SIGNER.key),
        _key(bytes([1]) + bytes(31)),
        _key(bytes([1]) + bytes(33)),
        _key(bytes([2]) + bytes(32)),
        _key(b""),
        _key(bytes([1]) + bytes(32)).upper(),
        _key(bytes([1]) + bytes(32), "a b"),
        _key(bytes([1]) + bytes(32), ""),
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    """A key whose id, kind or form is wrong is refused."""
    with pytest.raises(BadInputError):
        VerifierKey.parse(text)
