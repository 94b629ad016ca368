"""Accounts, lock-out and API keys over a real database."""

from __future__ import annotations

import threading

import pytest

from appliance.config import Gateway
from appliance.database import Database
from appliance.errors import (
    BadInputError,
    ConflictError,
    NotFoundError,
    NotSignedInError,
)
from appliance.identity.accounts import User
from appliance.identity.roles import ASSIGNABLE, Role
from appliance.identity.store import People
from tests.simulators.manual_clock import ManualClock

SETTINGS = Gateway()
DAY_S = 86_400


# --- accounts


def test_an_account_is_found_by_name_in_any_case(people: People, ward: User) -> None:
    """The name is what a person types, and nobody recalls its capitals."""
    assert people.by_name(" Ward.ONE ") == ward
    assert people.get(ward.id) == ward


def test_a_name_is_unique_in_any_case(people: People, ward: User) -> None:
    """Two people who differ in capitals alone would be one to an auditor."""
    with pytest.raises(ConflictError, match="none was added"):
        people.add("WARD.One", Role.AUDITOR, "x")
    assert people.list() == [ward]


@pytest.mark.parametrize("name", ["nobody", "", "a b", "\ud800", "x" * 10_000, "' OR 1=1 --"])
def test_no_account_is_found_for_other_text(people: People, ward: User, name: str) -> None:
    """Whatever is typed into the name field is at worst an unknown name."""
    assert people.by_name(name) is None


@pytest.mark.parametrize("role", sorted(set(Role) - ASSIGNABLE))
def test_no_account_becomes_console_or_system(people: People, role: Role) -> None:
    """Those roles are proved in other ways than by an account."""
    with pytest.raises(BadInputError, match="no account can have"):
        people.add("someone", role, "x")


def test_accounts_are_listed_by_name(people: People) -> None:
    """Disabled ones stay in the list: the record names them."""
    for name in ("carl", "ada", "ben"):
        people.add(name, Role.CLINICIAN, "x")
    people.set_disabled(people.list()[0].id, True)
    assert [user.name for user in people.list()] == ["ada", "ben", "carl"]


def test_an_unknown_account_is_named_as_such(people: People) -> None:
    """Every change of an account that is not there is refused."""
    with pytest.raises(NotFoundError):
        people.set_disabled("usr_none", True)


def test_the_password_hash_is_not_shown(ward: User) -> None:
    """A user that ends up in a log line takes no hash along."""
    assert "argon2id" not in repr(ward)


# --- lock-out


def lock(people: People, user: User) -> int | None:
    for _ in range(SETTINGS.lockout_failures - 1):
        assert people.note_failure(user.id) is None
    return people.note_failure(user.id)


def test_guessing_locks_the_account(people: People, ward: User) -> None:
    """The last failure says for how long."""
    assert lock(people, ward) == SETTINGS.lockout_s
    assert people.locked_for(people.get(ward.id)) == SETTINGS.lockout_s


def test_a_lock_out_survives_a_restart(
    people: People, ward: User, database: Database, clock: ManualClock
) -> None:
    """Whoever can make the gateway restart gets no further guesses."""
    lock(people, ward)
    assert People(database, clock, SETTINGS).locked_for(people.get(ward.id)) > 0


def test_a_lock_out_ends_by_itself(people: People, ward: User, clock: ManualClock) -> None:
    """Nobody has to be called at night."""
    lock(people, ward)
    clock.advance(SETTINGS.lockout_s)
    assert people.locked_for(people.get(ward.id)) == 0


def test_a_clock_set_back_does_not_lock_for_longer(
    people: People, ward: User, clock: ManualClock
) -> None:
    """A machine that lost its battery does not lock people out for years."""
    lock(people, ward)
    clock.set_back(10 * 365 * DAY_S)
    assert people.locked_for(people.get(ward.id)) == SETTINGS.lockout_s


def test_success_forgets_failures(people: People, ward: User) -> None:
    """Only failures in a row count."""
    people.note_failure(ward.id)
    people.note_success(ward.id)
    assert people.get(ward.id).failures == 0


def test_unlocking_ends_a_lock_out(people: People, ward: User) -> None:
    """An administrator can shorten the wait."""
    lock(people, ward)
    people.unlock(ward.id)
    assert people.locked_for(people.get(ward.id)) == 0


def test_guesses_at_the_same_moment_are_all_counted(people: People, ward: User) -> None:
    """Parallel requests cannot slip under the count."""
    locked: list[int | None] = []
    threads = [
        threading.Thread(target=lambda: locked.append(people.note_failure(ward.id)))
        for _ in range(2 * SETTINGS.lockout_failures)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(filter(None, locked)) == [SETTINGS.lockout_s] * 2


# --- API keys


def test_a_key_stands_for_its_owner(people: People, ward: User) -> None:
    """Every use is one person's."""
    key, text = people.create_key(ward.id, "nightly report", 30)
    user, found = people.user_for_key(text)
    assert (user, found.id, found.label) == (ward, key.id, "nightly report")


def test_the_text_of_a_key_is_not_stored(people: People, ward: User, database: Database) -> None:
    """It is shown once; the file holds its digest alone."""
    _, text = people.create_key(ward.id, "x", 30)
    secret = text.rpartition("_")[2]
    stored = database.path.read_bytes() + database.path.with_name("appliance.db-wal").read_bytes()
    assert secret.encode() not in stored
    assert ward.name.encode() in stored


def test_a_key_expires(people: People, ward: User, clock: ManualClock) -> None:
    """To the second."""
    _, text = people.create_key(ward.id, "x", 1)
    clock.advance(DAY_S - 1)
    people.user_for_key(text)
    clock.advance(1)
    with pytest.raises(NotSignedInError, match="expired"):
        people.user_for_key(text)


def test_a_revoked_key_is_dead(people: People, ward: User, clock: ManualClock) -> None:
    """Revoking again keeps the first time; an unknown id is refused."""
    key, text = people.create_key(ward.id, "x", 30)
    revoked = people.revoke_key(key.id).revoked
    clock.advance(60)
    assert people.revoke_key(key.id).revoked == revoked
    with pytest.raises(NotSignedInError, match="revoked"):
        people.user_for_key(text)
    with pytest.raises(NotFoundError):
        people.revoke_key("key_none")


def test_a_key_with_another_secret_is_unknown(people: People, ward: User) -> None:
    """The id alone, which is shown in lists, opens nothing."""
    _, text = people.create_key(ward.id, "x", 30)
    forged = text[:-1] + ("0" if text[-1] != "0" else "1")
    with pytest.raises(NotSignedInError, match="not known"):
        people.user_for_key(forged)


def test_disabling_revokes_keys_for_good(people: People, ward: User) -> None:
    """Enabling the account later does not revive what may have leaked."""
    _, text = people.create_key(ward.id, "x", 30)
    people.set_disabled(ward.id, True)
    people.set_disabled(ward.id, False)
    with pytest.raises(NotSignedInError, match="revoked"):
        people.user_for_key(text)


def test_a_disabled_account_gets_no_key(people: People, ward: User) -> None:
    """Nor does one made in the same moment work."""
    people.set_disabled(ward.id, True)
    with pytest.raises(ConflictError, match="no key was made"):
        people.create_key(ward.id, "x", 30)


@pytest.mark.parametrize("days", [-1, 0, 367, 10**12])
def test_a_key_lives_a_year_at_most(people: People, ward: User, days: int) -> None:
    """There is no key for ever."""
    with pytest.raises(BadInputError, match="1 to 366 days"):
        people.create_key(ward.id, "x", days)


def test_the_last_use_is_noted_once_a_minute(
    people: People, ward: User, clock: ManualClock
) -> None:
    """A program that asks in a loop costs one write a minute."""
    _, text = people.create_key(ward.id, "x", 30)
    first = clock.now()
    people.user_for_key(text)
    clock.advance(59)
    people.user_for_key(text)
    assert people.keys(ward.id)[0].last_used == first
    clock.advance(1)
    people.user_for_key(text)
    assert people.keys(ward.id)[0].last_used == first + 60


def test_keys_are_listed_for_one_or_all(people: People, ward: User, clock: ManualClock) -> None:
    """Newest first, revoked ones included."""
    other = people.add("other", Role.STEWARD, "x")
    first, _ = people.create_key(ward.id, "a", 1)
    clock.advance(1)
    second, _ = people.create_key(other.id, "b", 1)
    people.revoke_key(first.id)
    assert [key.id for key in people.keys(None)] == [second.id, first.id]
    assert [key.id for key in people.keys(ward.id)] == [first.id]
