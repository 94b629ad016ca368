"""Signing in, staying in, being signed out."""

from __future__ import annotations

import pytest

from tests.simulators.clinic import PASSWORD, Browser, Clinic


def test_the_right_password_opens_the_first_page(answering: Clinic) -> None:
    """A person is led to the page of their role."""
    response = Browser(answering).sign_in("clinician")
    assert response.status_code == 303
    assert response.location == "/"


@pytest.mark.parametrize("name", ["clinician", "nobody-of-that-name", "", "x" * 300])
def test_a_wrong_name_or_password_looks_the_same(clinic: Clinic, name: str) -> None:
    """Whether the name exists cannot be told from the answer."""
    response = Browser(clinic).sign_in(name, "wrong password here")
    assert response.status_code == 401
    assert "Name or password is not right" in response.get_data(as_text=True)


def test_guessing_locks_the_account_and_says_for_how_long(clinic: Clinic) -> None:
    """After five failures even the right password is refused, with Retry-After."""
    browser = Browser(clinic)
    for _ in range(clinic.config.gateway.lockout_failures):
        browser.sign_in("clinician", "wrong password here")
    response = browser.sign_in("clinician")
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0


def test_signing_out_really_revokes(answering: Clinic) -> None:
    """The token is worthless after signing out, also for whoever copied it."""
    browser = answering.browser("clinician")
    copied = browser.client.get_cookie("appliance-session")
    assert copied is not None
    browser.submit("/sign-out")
    thief = Browser(answering)
    thief.client.set_cookie("appliance-session", copied.value)
    response = thief.get("/account")
    assert response.status_code == 303
    assert "reason=ended" in response.location


def test_an_expired_session_says_why(clinic: Clinic) -> None:
    """Whoever comes back after the idle time reads why they have to sign in, and returns."""
    browser = clinic.browser("clinician")
    token = browser.client.get_cookie("appliance-session")
    assert token is not None
    age_sessions(clinic)
    response = browser.get("/account", follow_redirects=True)
    assert "You were signed out because the session was idle" in response.get_data(as_text=True)
    assert 'value="/account"' in response.get_data(as_text=True)
    assert clinic.record(action="session.expire")


def age_sessions(clinic: Clinic) -> None:
    """Let every session have been idle for longer than allowed."""
    import sqlalchemy as sa

    with clinic.appliance.databases[0].session() as session:
        session.execute(sa.text("UPDATE sessions SET last_seen = last_seen - 100000"))


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\t//evil", "javascript:1"],
)
def test_signing_in_never_leads_away(answering: Clinic, wanted: str) -> None:
    """The page to return to is one of ours, whatever the address says."""
    response = Browser(answering).submit(
        "/sign-in", {"name": "clinician", "password": PASSWORD, "next": wanted}, page="/sign-in"
    )
    assert response.location == "/"


def test_signing_in_returns_to_where_one_was(answering: Clinic) -> None:
    """After signing in the page that was asked for is shown."""
    response = Browser(answering).submit(
        "/sign-in", {"name": "clinician", "password": PASSWORD, "next": "/history?q=a"},
        page="/sign-in",
    )  # fmt: skip
    assert response.location == "/history?q=a"


def test_a_first_password_must_be_replaced_before_anything_else(clinic: Clinic) -> None:
    """With a password made by somebody else only the page to change it opens."""
    _, first = clinic.operations.people.add_user(clinic.actor("administrator"), "anna", "clinician")
    browser = Browser(clinic)
    browser.sign_in("anna", first)
    for path in ("/", "/account", "/history"):
        assert browser.get(path).location == "/account/first-password"
    new = "a password of my own"
    fields = {"old": first, "new": new, "again": new}
    changed = browser.submit("/account/password", fields, page="/account/first-password")
    assert "reason=password" in changed.location
    assert browser.sign_in("anna", new).status_code == 303
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize(
    ("new", "again", "said"),
    [
        ("short", "short", "12"),
        ("a password of my own", "a password of mine", "two ways"),
        (PASSWORD, PASSWORD, "is the old one"),
    ],
)
def test_a_bad_new_password_is_refused_in_words(
    answering: Clinic, new: str, again: str, said: str
) -> None:
    """The page says what is wrong with the new password, and the old one stays."""
    fields = {"old": PASSWORD, "new": new, "again": again}
    response = answering.browser("auditor").submit("/account/password", fields)
    assert response.status_code == 400
    assert said in response.get_data(as_text=True)


def test_the_page_of_a_typing_person_keeps_the_session(answering: Clinic) -> None:
    """A short request says who is signed in, and counts as activity."""
    response = answering.browser("clinician").get("/session")
    assert response.get_json() == {"name": "clinician"}


def test_a_script_without_a_session_gets_401_as_json(answering: Clinic) -> None:
    """A script is told, not redirected."""
    response = Browser(answering).get("/session", headers={"Accept": "application/json"})
    assert response.status_code == 401


def test_a_link_on_another_site_ends_no_session(answering: Clinic) -> None:
    """Coming without the cookie, as from another site, leaves the browser's session alone."""
    response = Browser(answering).get("/account")
    assert response.status_code == 303
    assert "Set-Cookie" not in response.headers
