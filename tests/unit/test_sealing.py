"""Sealing: opens with the right key at the right place, and in no other way."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.canonical import sha256
from appliance.errors import (
    BadInputError,
    ConflictError,
    NotInitialisedError,
    VerificationError,
)
from appliance.sealing import PADDING_BLOCK, ContentKey, KeyWrapper, equal

KEY = ContentKey("cky_1", b"k" * 32)
PLACE = "msg_1:body"
ANY_TEXT = st.text(st.characters(codec="utf-8"))


@given(ANY_TEXT, ANY_TEXT)
def test_what_was_sealed_opens(text: str, place: str) -> None:
    """Any text, at any place; empty ones and trailing zeros included."""
    assert KEY.open(KEY.seal(text, place).data, place) == text


def test_half_a_character_cannot_be_sealed() -> None:
    """It has no UTF-8 form; the refusal is one that a caller can show."""
    with pytest.raises(BadInputError, match="not valid Unicode"):
        KEY.seal("\ud800", PLACE)


def test_two_seals_of_one_text_differ() -> None:
    """Who asks the same twice does not show it."""
    assert KEY.seal("same", PLACE).data != KEY.seal("same", PLACE).data


def test_another_key_does_not_open() -> None:
    """Not even one with the same id."""
    other = ContentKey("cky_1", b"l" * 32)
    with pytest.raises(VerificationError, match="altered"):
        other.open(KEY.seal("text", PLACE).data, PLACE)


def test_the_same_secret_under_another_id_does_not_open() -> None:
    """The id of the key is bound in, so the record cannot be told another one."""
    other = ContentKey("cky_2", b"k" * 32)
    with pytest.raises(VerificationError):
        other.open(KEY.seal("text", PLACE).data, PLACE)


def test_a_moved_row_does_not_open() -> None:
    """The place is bound in."""
    with pytest.raises(VerificationError, match="msg_2:body"):
        KEY.open(KEY.seal("text", PLACE).data, "msg_2:body")


def test_no_altered_byte_goes_unnoticed() -> None:
    """Format, nonce, ciphertext, tag: each byte counts."""
    data = KEY.seal("text", PLACE).data
    for index in range(len(data)):
        altered = bytearray(data)
        altered[index] ^= 1
        with pytest.raises(VerificationError):
            KEY.open(bytes(altered), PLACE)


@given(st.binary(max_size=200))
def test_any_other_bytes_do_not_open(data: bytes) -> None:
    """Cut, empty or random: one error for all."""
    with pytest.raises(VerificationError):
        KEY.open(data, PLACE)


def test_no_cut_goes_unnoticed() -> None:
    """However much is missing at the end."""
    data = KEY.seal("text", PLACE).data
    for length in range(len(data)):
        with pytest.raises(VerificationError):
            KEY.open(data[:length], PLACE)


@given(st.binary(max_size=300).map(bytes.hex))
def test_length_tells_little(text: str) -> None:
    """Format, nonce, tag, and a text padded to a whole number of blocks."""
    overhead = 1 + 12 + 16
    padded = len(KEY.seal(text, PLACE).data) - overhead
    assert padded % PADDING_BLOCK == 0
    assert len(text) < padded <= len(text) + PADDING_BLOCK


def test_short_texts_are_of_one_length() -> None:
    """'yes' and 'no' cannot be told apart from outside."""
    assert len({len(KEY.seal(text, PLACE).data) for text in ("", "no", "yes", "x" * 63)}) == 1


def test_the_commitment_names_one_secret() -> None:
    """It is the same for every text of a key, differs between keys, and is not the secret."""
    other = ContentKey("cky_1", b"l" * 32)
    assert KEY.seal("a", PLACE).commitment == KEY.seal("b", PLACE).commitment == KEY.commitment
    assert KEY.commitment != other.commitment
    assert KEY.commitment != b"k" * 32


def test_the_record_gets_digests_alone() -> None:
    """SHA-256 and length of the ciphertext, id of the key, commitment."""
    sealed = KEY.seal("text", PLACE)
    assert sealed.for_record() == {
        "sha256": sha256(sealed.data).hex(),
        "bytes": len(sealed.data),
        "key": "cky_1",
        "commitment": KEY.commitment.hex(),
    }


# --- content keys, wrapped


def test_a_wrapped_key_opens_what_it_sealed() -> None:
    """Generate, store, unwrap: the same key, with the same commitment."""
    wrapper = KeyWrapper(b"w" * 32)
    key, wrapped = wrapper.generate("cky_9")
    again = wrapper.unwrap("cky_9", wrapped)
    assert again.open(key.seal("text", PLACE).data, PLACE) == "text"
    assert again.commitment == key.commitment


def test_keys_are_never_the_same() -> None:
    """Each conversation has one of its own."""
    wrapper = KeyWrapper(b"w" * 32)
    assert wrapper.generate("a")[0].commitment != wrapper.generate("a")[0].commitment


def test_another_key_file_does_not_unwrap() -> None:
    """Both databases without the key file show nothing."""
    _, wrapped = KeyWrapper(b"w" * 32).generate("cky_9")
    with pytest.raises(VerificationError, match="does not open"):
        KeyWrapper(b"x" * 32).unwrap("cky_9", wrapped)


def test_a_wrapped_key_cannot_be_moved() -> None:
    """The key of one conversation put into the row of another does not open."""
    wrapper = KeyWrapper(b"w" * 32)
    _, wrapped = wrapper.generate("cky_9")
    with pytest.raises(VerificationError):
        wrapper.unwrap("cky_8", wrapped)


def test_no_altered_byte_of_a_wrapped_key_goes_unnoticed() -> None:
    """Nor a missing one."""
    wrapper = KeyWrapper(b"w" * 32)
    _, wrapped = wrapper.generate("cky_9")
    for index in range(len(wrapped)):
        altered = bytearray(wrapped)
        altered[index] ^= 1
        for bad in (bytes(altered), wrapped[:index]):
            with pytest.raises(VerificationError):
                wrapper.unwrap("cky_9", bad)


@pytest.mark.parametrize("secret", [b"", b"k" * 31, b"k" * 33])
def test_a_secret_has_32_bytes(secret: bytes) -> None:
    """A cut key file or row is noticed."""
    with pytest.raises(VerificationError, match="wrong length"):
        KeyWrapper(secret)
    with pytest.raises(VerificationError, match="wrong length"):
        ContentKey("cky_1", secret)


# --- the key file


def test_the_key_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    """0400, 32 random bytes."""
    path = tmp_path / "content.key"
    KeyWrapper.create_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert len(path.read_bytes()) == 32
    key, wrapped = KeyWrapper.from_file(path).generate("cky_1")
    assert KeyWrapper.from_file(path).unwrap("cky_1", wrapped).commitment == key.commitment


def test_the_key_file_is_never_replaced(tmp_path: Path) -> None:
    """Another key would leave all content closed for ever."""
    path = tmp_path / "content.key"
    KeyWrapper.create_file(path)
    before = path.read_bytes()
    with pytest.raises(ConflictError):
        KeyWrapper.create_file(path)
    assert path.read_bytes() == before


def test_a_missing_key_file_is_refused(tmp_path: Path) -> None:
    """None is made in its place."""
    with pytest.raises(NotInitialisedError, match="missing"):
        KeyWrapper.from_file(tmp_path / "content.key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o644, 0o666])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The hint says how to mend it."""
    path = tmp_path / "content.key"
    KeyWrapper.create_file(path)
    path.chmod(mode)
    with pytest.raises(NotInitialisedError, match="read by others") as caught:
        KeyWrapper.from_file(path)
    assert "chmod 0400" in caught.value.hint


def test_secrets_compare_as_equal_or_not() -> None:
    """Of any two lengths."""
    assert equal(b"abc", b"abc")
    assert not equal(b"abc", b"abcd")
