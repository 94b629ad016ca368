"""Receipts: what they prove, and that nothing in one can be changed."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from appliance.audit import merkle
from appliance.audit.checkpoint import Checkpoint, Signer, VerifierKey
from appliance.audit.proof import MAX_HASHES, TlogProof
from appliance.errors import ApplianceError, BadInputError, VerificationError
from tests.unit.audit import samples

SIGNER = Signer(samples.ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(32)))
ENTRIES = [b'{"n":%d}' % number for number in range(11)]
LEAVES = [samples.leaf(data) for data in ENTRIES]


def receipt(seq: int = 5, size: int = 11) -> TlogProof:
    hashes = merkle.inclusion_proof(seq, size, lambda a, b: samples.root(LEAVES[a:b]))
    point = Checkpoint(samples.ORIGIN, size, samples.root(LEAVES[:size]))
    return TlogProof(ENTRIES[seq], seq, tuple(hashes), SIGNER.sign(point))


WHOLE = receipt()
TEXT = WHOLE.text()


def test_receipt_has_the_public_form() -> None:
    """A receipt is put together here by hand: header, entry, index, hashes, checkpoint."""
    head, _, note = TEXT.partition("\n\n")
    lines = head.split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(ENTRIES[5]).decode()
    assert lines[2] == "index 5"
    assert lines[3] == base64.b64encode(LEAVES[4]).decode()
    assert len(lines) == 3 + 4
    assert note == WHOLE.note == WHOLE.signed.note()


@pytest.mark.parametrize("size", range(1, 12))
def test_every_receipt_is_read_and_holds(size: int) -> None:
    """Receipts of every entry of small records survive, and hold under their key."""
    for seq in range(size):
        read = TlogProof.parse(receipt(seq, size).text())
        assert read == receipt(seq, size)
        read.verify(SIGNER.key)


@given(st.data())
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    """One changed bit anywhere in a receipt is refused, at reading or at verifying."""
    raw = bytearray(TEXT.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((ApplianceError, UnicodeDecodeError)):
        TlogProof.parse(bytes(raw).decode()).verify(SIGNER.key)


@given(st.data())
def test_any_dropped_or_doubled_line_is_found(data: st.DataObject) -> None:
    """A line too few, or one twice, is refused."""
    lines = TEXT.splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    for changed in (lines[:at] + lines[at + 1 :], lines[: at + 1] + lines[at:]):
        if changed[at:] == [lines[-1]] * 2:
            continue  # a signature that is there twice says nothing else
        with pytest.raises(ApplianceError):
            TlogProof.parse("".join(changed)).verify(SIGNER.key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        TEXT.replace("@v1", "@v2"),
        TEXT.replace("extra ", "extra"),
        TEXT.replace("extra ", "extra  "),
        TEXT.replace("index 5", "index 05"),
        TEXT.replace("index 5", "index -5"),
        TEXT.replace("index 5", "index +5"),
        TEXT.replace("index 5", "index \u0665"),
        TEXT.replace("index 5", "index " + "9" * 5_000),
        TEXT.replace("index 5", "index"),
        TEXT.replace("index 5\n", ""),
        TEXT.replace("index 5\n", "index 5\nno base64\n"),
        TEXT.replace("\n\n", "\n" + "AAAA\n" * (MAX_HASHES + 1) + "\n"),
        TEXT.replace("\n", "\r\n"),
        TEXT.partition("\n\n")[0],
        TEXT.partition("\n\n")[2],
        " " + TEXT,
    ],
)
def test_what_is_no_receipt_is_refused(text: str) -> None:
    """Anything that is not exactly of the form is refused."""
    with pytest.raises(BadInputError):
        TlogProof.parse(text)


@pytest.mark.parametrize(
    "changed",
    [
        replace(WHOLE, entry=ENTRIES[4]),
        replace(WHOLE, seq=4),
        replace(WHOLE, seq=11),
        replace(WHOLE, seq=2**52),
        replace(WHOLE, hashes=WHOLE.hashes[:-1]),
        replace(WHOLE, hashes=(*WHOLE.hashes, bytes(32))),
        replace(WHOLE, hashes=()),
        replace(WHOLE, signed=receipt(5, 10).signed),
    ],
)
def test_receipt_of_something_else_does_not_hold(changed: TlogProof) -> None:
    """Another entry, place, proof or checkpoint fails, and is said to fail, not to be bad input."""
    with pytest.raises(VerificationError):
        TlogProof.parse(changed.text()).verify(SIGNER.key)


def test_hash_of_a_wrong_length_does_not_hold() -> None:
    """A hash in a receipt has 32 bytes."""
    with pytest.raises(ApplianceError):
        TlogProof.parse(replace(WHOLE, hashes=(bytes(31),) * 4).text()).verify(SIGNER.key)


def test_receipt_under_another_key_does_not_hold() -> None:
    """Only the key that is trusted counts."""
    other = Signer(samples.ORIGIN, Ed25519PrivateKey.generate())
    with pytest.raises(VerificationError):
        WHOLE.verify(other.key)


def test_receipts_of_a_record_hold(tmp_path: Path) -> None:
    """The receipt of any entry of a record over several tiles holds, and shows that entry."""
    log = samples.opened(samples.make(tmp_path, 700))
    key = VerifierKey.parse(log.keys()[0].key)
    stored = dict(samples.read(log.path, "SELECT seq, entry FROM entries"))
    for seq in (0, 1, 255, 256, 511, 512, 698, 699):
        proof = TlogProof.parse(log.prove(seq))
        proof.verify(key)
        assert (proof.seq, proof.entry) == (seq, stored[seq])
    log.close()
