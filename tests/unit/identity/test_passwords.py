"""Passwords: argon2id, the same work for every guess, strong enough by themselves."""

from __future__ import annotations

import time

import pytest
from argon2 import PasswordHasher

from appliance.errors import BadInputError
from appliance.identity.passwords import (
    check_strength,
    generate_password,
    hash_password,
    needs_rehash,
    verify_password,
)


def test_the_right_password_verifies() -> None:
    """What was hashed is recognised."""
    assert verify_password(hash_password("correct horse staple"), "correct horse staple")


def test_a_wrong_password_does_not() -> None:
    """Anything else is refused, a trailing blank included."""
    assert not verify_password(hash_password("correct horse staple"), "correct horse staple ")


def test_the_hash_is_argon2id_with_the_documented_parameters() -> None:
    """RFC 9106's second option: 64 MiB, 3 passes, 4 lanes."""
    assert hash_password("correct horse staple").startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_two_hashes_of_one_password_differ() -> None:
    """Each has a salt of its own."""
    assert hash_password("correct horse staple") != hash_password("correct horse staple")


def test_an_unknown_user_is_refused() -> None:
    """No password fits an account that is not there."""
    assert not verify_password(None, "correct horse staple")


def test_an_unknown_user_takes_as_long_as_a_known_one() -> None:
    """The time of a refusal does not tell whether the name exists."""
    stored = hash_password("correct horse staple")
    verify_password(None, "warm up")
    times = {}
    for name, known in (("known", stored), ("unknown", None)):
        began = time.perf_counter()
        for _ in range(3):
            verify_password(known, "a wrong password")
        times[name] = time.perf_counter() - began
    # A skipped hash would be a thousandfold faster; the bound leaves room for a busy machine.
    assert times["unknown"] > times["known"] / 5


@pytest.mark.parametrize("text", ["", "x" * 1_000_000, "\ud800 half a pair", "\x00\x01"])
def test_odd_input_is_a_wrong_password(text: str) -> None:
    """Nothing typed into the field can break the check."""
    assert not verify_password(hash_password("correct horse staple"), text)


def test_a_damaged_hash_is_a_wrong_password() -> None:
    """An altered row locks its owner out; it lets nobody in."""
    assert not verify_password("not a hash", "correct horse staple")


def test_an_accent_matches_from_another_keyboard() -> None:
    """One character and a letter with a combining accent are the same password."""
    assert verify_password(hash_password("cafe\u0301 au lait, 2x"), "caf\u00e9 au lait, 2x")


def test_a_hash_with_older_parameters_is_noticed() -> None:
    """It can then be replaced at the next sign-in."""
    assert needs_rehash(PasswordHasher(time_cost=1, memory_cost=8192).hash("x"))
    assert not needs_rehash(hash_password("correct horse staple"))


def test_generated_passwords_are_strong_and_easy_to_type() -> None:
    """Four groups of four, none of the characters that are taken for another."""
    made = {generate_password() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        check_strength(password, "admin")
        assert [len(group) for group in password.split("-")] == [4, 4, 4, 4]
        assert not set(password) & set("l1o0 ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("short", "12 characters"),
        ("a" * 12, "repeated"),
        ("administrator1", "own name"),
        ("ADMINISTRATOR!!", "own name"),
        ("x" * 300, "256 bytes"),
        ("\U0001f600" * 65, "256 bytes"),
        ("half a pair \ud800", "must be text"),
    ],
)
def test_a_weak_password_is_refused(text: str, said: str) -> None:
    """The refusal says what is wrong, so that the next try can be right."""
    with pytest.raises(BadInputError, match=said):
        check_strength(text, "administrator")


@pytest.mark.parametrize("text", ["twelve chars", "ä" * 11 + "b", "пароль для врача"])
def test_a_long_enough_password_is_accepted(text: str) -> None:
    """Any script and blanks are welcome; no rule asks for digits or signs."""
    check_strength(text, "administrator")
