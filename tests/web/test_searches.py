"""Saved searches: for their owner alone, sealed, and recorded without their texts."""

from __future__ import annotations

import json
import sqlite3

import pytest

from tests.simulators.clinic import Browser, Clinic

FILTERS = {"text": "Mrs Smith", "action": "user.add"}
NAME = "Complaint of Mrs Smith"


def save(browser: Browser, name: str = NAME, **filters: str) -> int:
    """Save a search as the form of its page would; return the status of the answer."""
    fields = {"name": name, **(filters or FILTERS)}
    page = "/record?action=user.add&reason=complaint"
    return browser.submit("/record/searches", fields, page=page).status_code


def saved_link(browser: Browser, name: str) -> str:
    page = browser.get("/record?reason=complaint").get_data(as_text=True)
    before = page.split(f">{name}</a>")[0]
    return before.rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")


def keys_in(clinic: Clinic) -> set[str]:
    with sqlite3.connect(clinic.config.paths.keys_db) as keys:
        found = {row[0] for row in keys.execute("SELECT key_id FROM content_keys")}
    keys.close()
    return found


def ids_of(clinic: Clinic, name: str) -> list[str]:
    return [search.id for search in clinic.operations.searches.list(clinic.actor(name))]


def test_a_saved_search_finds_the_same_again(clinic: Clinic) -> None:
    """Its link carries every filter, and asks the record anew."""
    auditor = clinic.browser("auditor")
    assert save(auditor, action="appliance.init") == 303
    page = auditor.get(saved_link(auditor, NAME)).get_data(as_text=True)
    assert page.count('class="entry"') == 1
    assert "appliance.init" in page


def test_saving_shows_the_same_search_again(clinic: Clinic) -> None:
    """Whoever saves a search goes on where they were, with the reason they gave."""
    officer = clinic.browser("privacy-officer")
    fields = {"name": "a", "action": "user.add", "reason": "complaint", "case": "K-1"}
    page = "/record?action=user.add&reason=complaint"
    location = officer.submit("/record/searches", fields, page=page).location
    assert location == "/record?action=user.add&reason=complaint&case=K-1"


def test_nothing_of_a_search_is_at_rest_in_the_clear(clinic: Clinic) -> None:
    """Neither the database nor the record holds its name or its filters."""
    save(clinic.browser("auditor"))
    clinic.appliance.databases[0].close()
    for file in clinic.config.state.glob("*.db*"):
        assert b"Smith" not in file.read_bytes(), file
    assert "Smith" not in json.dumps(clinic.record())
    entries = clinic.record(action="search.save")
    assert [entry["outcome"] for entry in entries] == ["success", "intent"]
    assert entries[0]["entity"] == ids_of(clinic, "auditor")[0]


def test_a_search_is_its_owners_alone(clinic: Clinic) -> None:
    """Another reader of the record neither sees nor deletes it."""
    save(clinic.browser("auditor"))
    officer = clinic.browser("privacy-officer")
    assert NAME not in officer.get("/record?reason=complaint").get_data(as_text=True)
    (search_id,) = ids_of(clinic, "auditor")
    assert officer.submit(f"/record/searches/{search_id}/delete").status_code == 404
    assert ids_of(clinic, "auditor") == [search_id]


def test_a_search_can_be_deleted(clinic: Clinic) -> None:
    """It is gone from the list, its key is destroyed, and the record says which one went."""
    auditor = clinic.browser("auditor")
    before = keys_in(clinic)
    save(auditor)
    (search_id,) = ids_of(clinic, "auditor")
    assert len(keys_in(clinic)) == len(before) + 1
    assert auditor.submit(f"/record/searches/{search_id}/delete").status_code == 303
    assert ids_of(clinic, "auditor") == []
    assert keys_in(clinic) == before
    assert clinic.record(action="search.delete", outcome="success")[0]["entity"] == search_id


@pytest.mark.parametrize(
    ("name", "filters", "status"),
    [
        ("", FILTERS, 400),
        ("x" * 61, FILTERS, 400),
        ("a\u202eb", FILTERS, 400),
        ("nothing", {"text": " "}, 400),
        ("bad time", {"since": "yesterday"}, 400),
    ],
)
def test_a_search_that_cannot_be_kept_is_told(
    clinic: Clinic, name: str, filters: dict[str, str], status: int
) -> None:
    """A name has 1 to 60 plain characters, and there is something to search for."""
    assert save(clinic.browser("auditor"), name, **filters) == status
    assert ids_of(clinic, "auditor") == []


def test_a_name_is_used_once_by_one_person(clinic: Clinic) -> None:
    """A second search of that name is refused; another person may use it."""
    auditor = clinic.browser("auditor")
    assert [save(auditor), save(auditor)] == [303, 409]
    assert save(clinic.browser("privacy-officer")) == 303


def test_there_is_a_limit_to_what_one_person_keeps(clinic: Clinic) -> None:
    """The fifty-first search is refused with what to do about it."""
    searches, auditor = clinic.operations.searches, clinic.actor("auditor")
    for number in range(50):
        searches.save(auditor, f"search {number}", FILTERS)
    assert save(clinic.browser("auditor")) == 409
    assert len(ids_of(clinic, "auditor")) == 50


def test_a_privacy_officers_saved_search_waits_for_a_purpose(clinic: Clinic) -> None:
    """A purpose is never saved: the filters are filled in, and nothing is searched."""
    officer = clinic.browser("privacy-officer")
    save(officer)
    link, start = saved_link(officer, NAME), clinic.head()
    assert "reason" not in link
    page = officer.get(link).get_data(as_text=True)
    assert 'value="Mrs Smith"' in page
    assert "Nothing has been searched yet" in page
    assert clinic.head() == start


def test_a_search_that_no_longer_opens_can_still_be_deleted(clinic: Clinic) -> None:
    """When its key is gone, the page says so and goes on working."""
    auditor = clinic.browser("auditor")
    save(auditor)
    with sqlite3.connect(clinic.config.paths.keys_db) as keys:
        keys.execute("DELETE FROM content_keys")
    keys.close()
    assert "(this search cannot be opened)" in auditor.get("/record").get_data(as_text=True)
    (search_id,) = ids_of(clinic, "auditor")
    assert auditor.submit(f"/record/searches/{search_id}/delete").status_code == 303
