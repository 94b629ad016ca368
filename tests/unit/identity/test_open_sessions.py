"""Sessions over a real database: they end when idle, when old, and with the account."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from appliance.config import Gateway
from appliance.database import Database
from appliance.errors import (
    NotSignedInError,
    SessionExpiredError,
)
from appliance.identity.accounts import User
from appliance.identity.store import People
from tests.simulators.manual_clock import ManualClock

SETTINGS = Gateway()
DAY_S = 86_400


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def test_a_session_is_found_by_its_token(people: People, ward: User, clock: ManualClock) -> None:
    """It says who, since when, from where, and when it ends."""
    info = people.session(people.open_session(ward.id, "10.0.0.7"))
    now = clock.now()
    assert (info.user, info.source, info.created, info.last_seen) == (ward, "10.0.0.7", now, now)
    assert info.idle_until == now + SETTINGS.session_idle_s
    assert info.expires == now + SETTINGS.session_absolute_s


def test_the_token_is_not_stored(people: People, ward: User, database: Database) -> None:
    """A copy of the database opens no session."""
    token = people.open_session(ward.id, None)
    assert not [row for row in rows(database, "SELECT * FROM sessions") if token in row]


@pytest.mark.parametrize("token", ["", "x", "\ud800", "x" * 100_000])
def test_an_unknown_token_is_nobody(people: People, token: str) -> None:
    """Forged cookies are not signed in, whatever they hold."""
    with pytest.raises(NotSignedInError):
        people.session(token)


def test_use_keeps_a_session_open(people: People, ward: User, clock: ManualClock) -> None:
    """Idle time begins anew with each use."""
    token = people.open_session(ward.id, None)
    for _ in range(5):
        clock.advance(SETTINGS.session_idle_s - 1)
        people.session(token)


def test_an_idle_session_ends(people: People, ward: User, clock: ManualClock) -> None:
    """The error says whose it was, once; afterwards the token is unknown."""
    token = people.open_session(ward.id, None)
    clock.advance(SETTINGS.session_idle_s)
    with pytest.raises(SessionExpiredError) as caught:
        people.session(token)
    assert caught.value.user_id == ward.id
    with pytest.raises(NotSignedInError) as again:
        people.session(token)
    assert not isinstance(again.value, SessionExpiredError)


def test_looking_on_does_not_keep_a_session_open(
    people: People, ward: User, clock: ManualClock
) -> None:
    """A page that polls by itself is not a person at work."""
    token = people.open_session(ward.id, None)
    clock.advance(SETTINGS.session_idle_s / 2)
    people.session(token, touch=False)
    clock.advance(SETTINGS.session_idle_s / 2)
    with pytest.raises(SessionExpiredError):
        people.session(token)


def test_a_session_ends_after_a_day_of_work(people: People, ward: User, clock: ManualClock) -> None:
    """However busy it is, the absolute limit holds."""
    token = people.open_session(ward.id, None)
    for _ in range(SETTINGS.session_absolute_s // 300 - 1):
        clock.advance(300)
        people.session(token)
    clock.advance(300)
    with pytest.raises(SessionExpiredError):
        people.session(token)


def test_a_clock_set_back_ends_a_session(people: People, ward: User, clock: ManualClock) -> None:
    """A session cannot be stretched by changing the machine's clock."""
    token = people.open_session(ward.id, None)
    clock.set_back(3600)
    with pytest.raises(SessionExpiredError):
        people.session(token)


def test_a_corrected_clock_signs_nobody_out(people: People, ward: User, clock: ManualClock) -> None:
    """Time servers move the clock by seconds."""
    token = people.open_session(ward.id, None)
    clock.set_back(5)
    people.session(token)


def test_signing_out_ends_the_session(people: People, ward: User) -> None:
    """The token is worthless afterwards, and closing it again is no error."""
    token = people.open_session(ward.id, None)
    people.close_session(token)
    people.close_session(token)
    with pytest.raises(NotSignedInError):
        people.session(token)


def test_old_sessions_do_not_pile_up(
    people: People, ward: User, clock: ManualClock, database: Database
) -> None:
    """Browsers that are just closed leave no row for ever."""
    people.open_session(ward.id, None)
    clock.advance(SETTINGS.session_absolute_s)
    people.open_session(ward.id, None)
    assert rows(database, "SELECT count(*) FROM sessions") == [(1,)]


def test_use_is_not_written_on_every_request(
    people: People, ward: User, clock: ManualClock, database: Database
) -> None:
    """Requests within ten seconds share one note of the time."""
    token = people.open_session(ward.id, None)
    before = rows(database, "SELECT last_seen FROM sessions")
    clock.advance(9)
    people.session(token)
    assert rows(database, "SELECT last_seen FROM sessions") == before


def test_disabling_ends_sessions_at_once(people: People, ward: User) -> None:
    """The next request of a disabled person is refused."""
    token = people.open_session(ward.id, None)
    people.set_disabled(ward.id, True)
    with pytest.raises(NotSignedInError):
        people.session(token)


def test_a_disabled_account_opens_no_session(people: People, ward: User) -> None:
    """Not even when the password was right a moment ago."""
    people.set_disabled(ward.id, True)
    with pytest.raises(NotSignedInError):
        people.open_session(ward.id, None)


def test_enabling_does_not_revive_sessions(people: People, ward: User) -> None:
    """A stolen token stays dead."""
    token = people.open_session(ward.id, None)
    people.set_disabled(ward.id, True)
    people.set_disabled(ward.id, False)
    with pytest.raises(NotSignedInError):
        people.session(token)


def test_a_new_password_ends_every_session(people: People, ward: User) -> None:
    """Whoever had the old one is out."""
    token = people.open_session(ward.id, None)
    people.set_password(ward.id, "new", must_change=True)
    assert people.get(ward.id).must_change_password
    with pytest.raises(NotSignedInError):
        people.session(token)


def test_newer_parameters_sign_nobody_out(people: People, ward: User) -> None:
    """Replacing a hash at sign-in leaves sessions and the duty to change as they are."""
    token = people.open_session(ward.id, None)
    people.upgrade_hash(ward.id, "$argon2id$newer")
    assert people.session(token).user.password_hash == "$argon2id$newer"
