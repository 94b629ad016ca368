"""Tokens and API keys: unguessable, and only digests are kept."""

from __future__ import annotations

import hashlib

import pytest

from appliance.identity import sessions


def test_a_token_is_stored_as_its_sha_256() -> None:
    """The digest is the plain hash of the token, so a copy of the database opens no session."""
    token, digest = sessions.new_token()
    assert digest == hashlib.sha256(token.encode()).hexdigest() == sessions.digest(token)


def test_tokens_carry_256_bits_and_never_repeat() -> None:
    """43 characters of base64url are 32 random bytes."""
    tokens = [sessions.new_token()[0] for _ in range(100)]
    assert len(set(tokens)) == 100
    assert {len(token) for token in tokens} == {43}


def test_the_anti_forgery_token_belongs_to_one_session() -> None:
    """It is the same for one session, differs between two, and does not reveal the token."""
    token, other = sessions.new_token()[0], sessions.new_token()[0]
    assert sessions.csrf_token(token) == sessions.csrf_token(token)
    assert sessions.csrf_token(token) != sessions.csrf_token(other)
    assert token not in sessions.csrf_token(token)


def test_an_api_key_carries_its_id() -> None:
    """The id in the list of keys can be found in the key, so that its owner knows which it is."""
    key, key_id, digest = sessions.new_api_key()
    assert sessions.parse_api_key(key) == (key_id, digest)
    assert key.startswith(f"apl_{key_id.removeprefix('key_')}_")


@pytest.mark.parametrize(
    "text",
    ["", "apl_", "apl__", "sk-abc", "apl_1_2", "apl_" + "0" * 24 + "_" + "g" * 64, "apl_\ud800_1"],
)
def test_what_is_not_a_key_is_told_apart(text: str) -> None:
    """Malformed text never reaches the database."""
    assert sessions.parse_api_key(text) is None


def test_a_line_end_does_not_make_another_key() -> None:
    """A key has one spelling alone."""
    key = sessions.new_api_key()[0]
    assert sessions.parse_api_key(key + "\n") is None


def test_comparing_accepts_any_text() -> None:
    """A forged token with odd characters is unequal, not an error."""
    assert sessions.same("abc", "abc")
    assert not sessions.same("abc", "äbc\ud800")
