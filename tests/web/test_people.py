"""Accounts and keys in the browser."""

from __future__ import annotations

import re

from tests.simulators.clinic import Browser, Clinic

SECRET = re.compile(r'class="secret">([^<]+)<')


def test_a_first_password_is_shown_once_and_works(clinic: Clinic) -> None:
    """The page that adds a person shows the password; no later page does."""
    browser = clinic.browser("administrator")
    fields = {"name": "anna", "role": "clinician", "display_name": "Anna <b>"}
    page = browser.submit("/people", fields, page="/people").get_data(as_text=True)
    secret = SECRET.search(page)
    assert secret is not None
    assert "Anna &lt;b&gt;" in page
    assert secret[1] not in browser.get("/people").get_data(as_text=True)
    assert Browser(clinic).sign_in("anna", secret[1]).status_code == 303


def test_adding_twice_with_one_form_makes_one_account(clinic: Clinic) -> None:
    """A reload of the page that shows the password shows it again and adds nobody."""
    browser = clinic.browser("administrator")
    fields = {"name": "anna", "role": "clinician", "once": "same form"}
    first = SECRET.search(browser.submit("/people", fields).get_data(as_text=True))
    second = SECRET.search(browser.submit("/people", fields).get_data(as_text=True))
    assert first is not None
    assert second is not None
    assert first[1] == second[1]


def test_a_name_that_is_taken_or_bad_is_told(answering: Clinic) -> None:
    """The page says what is wrong with the name and keeps what was typed."""
    browser = answering.browser("administrator")
    taken = browser.submit("/people", {"name": "clinician", "role": "clinician"}, page="/people")
    assert taken.status_code == 409
    bad = browser.submit("/people", {"name": "a b", "role": "clinician"}, page="/people")
    assert bad.status_code == 400
    assert 'value="a b"' in bad.get_data(as_text=True)


def test_a_disabled_person_is_out_at_once(clinic: Clinic) -> None:
    """Disabling ends the open session with the next request."""
    person, administrator = clinic.browser("clinician"), clinic.browser("administrator")
    administrator.submit("/people/clinician/disable", page="/people")
    assert person.get("/").location.startswith("/sign-in")
    assert "Disabled" in administrator.get("/people").get_data(as_text=True)


def test_a_locked_person_is_shown_and_unlocked(clinic: Clinic) -> None:
    """The administrator sees who is locked out and ends it."""
    administrator = clinic.browser("administrator")
    for _ in range(clinic.config.gateway.lockout_failures):
        Browser(clinic).sign_in("clinician", "wrong password here")
    assert "Locked" in administrator.get("/people").get_data(as_text=True)
    administrator.submit("/people/clinician/unlock", page="/people")
    assert "Locked" not in administrator.get("/people").get_data(as_text=True)


def test_a_key_is_shown_once_works_and_is_revoked(answering: Clinic) -> None:
    """A person makes a key, uses it, revokes it, and it is dead."""
    browser = answering.browser("clinician")
    page = browser.submit("/account/keys", {"label": "my <i>script</i>", "days": "3"})
    secret = SECRET.search(page.get_data(as_text=True))
    assert secret is not None
    assert "my &lt;i&gt;script&lt;/i&gt;" in page.get_data(as_text=True)
    assert secret[1] not in browser.get("/account").get_data(as_text=True)
    headers = {"Authorization": f"Bearer {secret[1]}"}
    assert Browser(answering).get("/v1/models", headers=headers).status_code == 200
    key_id = f"key_{secret[1].split('_')[1]}"
    browser.submit(f"/account/keys/{key_id}/revoke")
    assert Browser(answering).get("/v1/models", headers=headers).status_code == 401


def test_a_person_cannot_revoke_somebody_elses_key(answering: Clinic) -> None:
    """Another person's key stays."""
    owner = answering.actor("clinician")
    key, _ = answering.operations.people.create_key(owner, "clinician", "x")
    response = answering.browser("steward").submit(f"/account/keys/{key.id}/revoke")
    assert response.status_code == 403


def test_an_administrator_sees_and_revokes_everyones_keys(answering: Clinic) -> None:
    """The list of keys names the owner, and a key on it can be revoked."""
    owner = answering.actor("clinician")
    key, _ = answering.operations.people.create_key(owner, "clinician", "seen by the office")
    browser = answering.browser("administrator")
    assert "seen by the office" in browser.get("/keys").get_data(as_text=True)
    browser.submit(f"/keys/{key.id}/revoke", page="/keys")
    keys = answering.operations.people.list_keys(owner, "clinician")
    assert next(k for k in keys if k.id == key.id).revoked
