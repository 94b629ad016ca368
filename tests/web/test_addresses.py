"""Free text in an address finds no page and never enters the record."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.simulators.clinic import Browser, Clinic
from tests.web.test_routes import every_rule

TEXT = "Mrs Smith has HIV"
IDS = ["cnv_1", "cnv_" + "0" * 25, "cnv_" + "A" * 24, "msg_" + "0" * 24, "cnv_" + "0" * 24 + "\n"]


@pytest.mark.parametrize("role", ["clinician", "administrator", "approver"])
def test_free_text_in_any_address_is_a_plain_404_and_stays_out_of_the_record(
    answering: Clinic, role: str
) -> None:
    """Whatever stands where an id belongs, on every route, nothing of it is recorded or shown."""
    browser, start = answering.browser(role), answering.head()
    for rule in answering.app.url_map.iter_rules():
        if not rule.arguments or rule.endpoint == "static_files.file":
            continue
        path = rule.rule
        for part in path.split("/"):
            if part.startswith("<"):
                path = path.replace(part, quote(TEXT))
        method = "POST" if "POST" in (rule.methods or ()) else "GET"
        response = browser.submit(path) if method == "POST" else browser.get(path)
        # Programs show a key before they learn what is not there.
        assert response.status_code == (401 if path.startswith("/api/") else 404), path
        assert "Smith" not in response.get_data(as_text=True)
    added = [entry for entry in answering.record() if entry["seq"] >= start]
    assert "Smith" not in json.dumps(added)


@pytest.mark.parametrize("text", IDS)
def test_only_a_whole_id_of_the_right_kind_is_a_conversation(answering: Clinic, text: str) -> None:
    """An id that is too short, too long, in capitals or of another kind reaches no operation."""
    browser, start = answering.browser("clinician"), answering.head()
    assert browser.get(f"/c/{quote(text)}").status_code == 404
    assert answering.head() == start


def test_an_id_that_nothing_has_is_a_404_too(answering: Clinic) -> None:
    """A well-formed id of nothing reaches the operation, which records that it was asked for."""
    nothing = "cnv_" + "0" * 24
    assert answering.browser("clinician").get(f"/c/{nothing}").status_code == 404
    assert answering.record(action="conversation.read", outcome="refused")[0]["entity"] == nothing


def test_every_address_with_a_variable_part_has_a_pattern(answering: Clinic) -> None:
    """A new route with free text in its address fails here."""
    free = [
        rule.rule
        for rule in answering.app.url_map.iter_rules()
        if rule.endpoint != "static_files.file"
        and any(part.startswith("<") and ":" not in part for part in rule.rule.split("/"))
    ]
    assert free == []
    assert every_rule(answering.app)


def test_a_strangers_free_text_is_not_recorded_either(answering: Clinic) -> None:
    """The same holds for whoever is not signed in."""
    start = answering.head()
    assert Browser(answering).get(f"/c/{quote(TEXT)}").status_code == 404
    assert answering.head() == start


def test_a_search_through_ones_chats_is_recorded_without_its_words(answering: Clinic) -> None:
    """Searching opens every text, so it leaves an entry; the words searched for do not."""
    browser, start = answering.browser("clinician"), answering.head()
    browser.get(f"/history?q={quote(TEXT)}")
    added = [entry for entry in answering.record() if entry["seq"] >= start]
    assert "conversation.search" in [entry["action"] for entry in added]
    assert "Smith" not in json.dumps(added)
