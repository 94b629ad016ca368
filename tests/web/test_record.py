"""The auditor's page: search, verify, export; and what it never shows."""

from __future__ import annotations

import csv
import io
import json
import sqlite3

import pytest

from appliance.audit import search
from appliance.audit.actions import Outcome
from appliance.audit.ledger import FORMATS
from appliance.operations.recording import event_of
from tests.simulators.clinic import Clinic

PSEUDONYM = f"pat_{7:024x}"


def test_entries_are_found_by_filters(answering: Clinic) -> None:
    """A filter narrows the list to entries that have it."""
    page = answering.browser("auditor").get("/record?action=appliance.init").get_data(as_text=True)
    assert page.count('class="entry"') == 1
    assert "appliance.init" in page


def test_an_entry_is_shown_whole_with_its_leaf_hash(answering: Clinic) -> None:
    """Every field of the stored entry is there, and the short hash that proves it."""
    page = answering.browser("auditor").get("/record").get_data(as_text=True)
    newest = answering.record()[1]
    assert newest["leaf"][:8] in page
    assert newest["prev"] in page


def test_names_stand_beside_the_ids_of_accounts(clinic: Clinic) -> None:
    """An auditor reads who it was, and still sees the id that the record holds."""
    auditor = clinic.browser("auditor")
    page = auditor.get("/record?action=session.open").get_data(as_text=True)
    user = clinic.actor("auditor").user
    assert f'<span title="{user}">auditor</span>' in page
    assert f"<strong>auditor</strong> is <code>{user}</code>" in page


def test_a_person_is_found_by_name(clinic: Clinic) -> None:
    """The name of an account stands for its id; the record holds the id alone."""
    clinic.browser("clinician")
    auditor = clinic.browser("auditor")
    page = auditor.get("/record?user=Clinician&action=session.open").get_data(as_text=True)
    assert page.count('class="entry"') == 2
    read = clinic.record(action="record.read")[0]
    assert read["content"]["filters"]["user"] == clinic.actor("clinician").user


def test_a_patients_entries_are_found_by_pseudonym(clinic: Clinic) -> None:
    """The pseudonym that the record has for a patient finds every entry about them."""
    actor = clinic.actor("clinician")
    for subject in (PSEUDONYM, f"pat_{8:024x}"):
        content = {"subject": subject}
        event = event_of(actor, "answer.complete", Outcome.SUCCESS, content=content)
        clinic.appliance.ledger.append(event)
    page = clinic.browser("auditor").get(f"/record?subject={PSEUDONYM}").get_data(as_text=True)
    assert page.count('class="entry"') == 1
    assert clinic.record(action="record.read")[0]["content"]["filters"]["subject"] == PSEUDONYM


@pytest.mark.parametrize(
    "query", ["since=not-a-date", "before=x", "before=99999999999999999999", "until=2026-99-99"]
)
def test_a_filter_that_makes_no_sense_is_told(answering: Clinic, query: str) -> None:
    """The page says which filter cannot be understood."""
    response = answering.browser("auditor").get(f"/record?{query}")
    assert response.status_code == 400
    assert "Reference for IT" in response.get_data(as_text=True)


def test_pages_go_back_in_time_without_gap_or_repeat(clinic: Clinic) -> None:
    """Following Older reaches the first entry, seeing each once."""
    for _ in range(60):
        clinic.operations.people.list_users(clinic.actor("administrator"))
    auditor = clinic.browser("auditor")
    path, seen = "/record", []
    while path:
        page = auditor.get(path).get_data(as_text=True)
        seen += [int(part.split("<")[0]) for part in page.split('class="seq">')[1:]]
        older = [part for part in page.split('href="') if part.startswith("/record?before=")]
        path = older[-1].split('"')[0].replace("&amp;", "&") if older else ""
    assert seen == sorted(set(seen), reverse=True)
    assert seen[-1] == min(seen)
    assert len(seen) == seen[0] - seen[-1] + 1


def test_a_search_that_ends_early_says_how_far_it_looked(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a long record a page may be short: it names where to go on, and Older goes on there."""
    monkeypatch.setattr(search, "WINDOW", 10)
    monkeypatch.setattr(search, "WINDOW_OF_READS", 10)
    auditor = clinic.browser("auditor")
    path, pages = "/record?text=appliance.init", []
    while path:
        pages.append(auditor.get(path).get_data(as_text=True))
        older = [part for part in pages[-1].split('href="') if "before=" in part.split('"')[0]]
        path = older[-1].split('"')[0].replace("&amp;", "&") if older else ""
    assert len(pages) > 1
    assert all("Searched back to entry" in page for page in pages[:-1])
    assert "No entry matches" not in pages[0]
    assert 'class="seq">0<' in pages[-1]


def test_a_whole_record_is_called_whole(answering: Clinic) -> None:
    """Verify now reads every entry and says so, and the verification is recorded."""
    page = answering.browser("auditor").submit("/record/verify").get_data(as_text=True)
    assert "The record is whole" in page
    assert answering.record(action="record.verify")[0]["outcome"] == "success"


def test_a_whole_record_says_how_far_each_proof_reaches(clinic: Clinic) -> None:
    """The page names what is anchored, signed or not signed yet, and how to anchor more."""
    found = clinic.operations.records.verify(clinic.actor("auditor"))
    page = clinic.browser("auditor").submit("/record/verify").get_data(as_text=True)
    assert found.signed <= found.entries
    assert "Anchored." in page or "Signed, not anchored." in page
    assert "To anchor more" in page
    assert 'href="/record/checkpoint"' in page


def test_an_altered_record_is_called_altered(clinic: Clinic) -> None:
    """One flipped byte, and the page names the entry instead of a stack trace."""
    auditor = clinic.browser("auditor")
    path = clinic.config.paths.audit_db
    with sqlite3.connect(path) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall()
        for (name,) in names:
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute(
            "UPDATE entries SET entry = CAST(replace(CAST(entry AS TEXT), 'appliance.init',"
            " 'appliance.inti') AS BLOB) WHERE seq = (SELECT min(seq) FROM entries)"
        )
    database.close()
    page = auditor.submit("/record/verify").get_data(as_text=True)
    assert "The record was altered" in page


def test_exports_hold_every_entry(answering: Clinic) -> None:
    """NDJSON has one entry to a line, CSV one to a row, both as a file to keep."""
    auditor = answering.browser("auditor")
    lines = auditor.submit("/record/export", {"format": "ndjson"})
    assert "attachment" in lines.headers["Content-Disposition"]
    entries = [json.loads(line) for line in lines.get_data(as_text=True).splitlines()]
    assert entries[0]["action"] == "appliance.init"
    rows = auditor.submit("/record/export", {"format": "csv", "action": "appliance.init"})
    assert len(list(csv.DictReader(io.StringIO(rows.get_data(as_text=True))))) == 1


def test_every_format_is_offered_in_words_and_exported(answering: Clinic) -> None:
    """Each format of the ledger stands in the list, and sends a file that is not empty."""
    auditor = answering.browser("auditor")
    page = auditor.get("/record").get_data(as_text=True)
    for name in FORMATS:
        words = page.split(f'<option value="{name}">')[1].split("<")[0]
        assert ":" in words, name
        response = auditor.submit("/record/export", {"format": name})
        assert response.status_code == 200, name
        assert "attachment" in response.headers["Content-Disposition"]
        assert response.get_data()


def test_a_part_of_the_record_is_not_offered_as_tiles(answering: Clinic) -> None:
    """Tiles prove the whole record; with filters chosen, they are not in the list."""
    page = answering.browser("auditor").get("/record?action=user.add").get_data(as_text=True)
    assert '<option value="csv">' in page
    assert '<option value="tiles">' not in page


def test_an_unknown_format_is_refused(answering: Clinic) -> None:
    """Only the formats that exist are exported."""
    response = answering.browser("auditor").submit("/record/export", {"format": "xlsx"})
    assert response.status_code == 400
    assert "Content-Disposition" not in response.headers


def test_no_page_of_the_record_shows_what_was_asked(answering: Clinic) -> None:
    """The record proves a question was asked, and does not contain it."""
    browser = answering.browser("clinician")
    browser.submit("/c", {"prompt": "a marker that nobody else writes"}, page="/")
    page = answering.browser("auditor").get("/record?text=marker").get_data(as_text=True)
    assert "a marker that nobody" not in page


# --- why the record is read


def test_a_privacy_officer_sees_a_form_until_a_purpose_is_stated(clinic: Clinic) -> None:
    """Without a purpose nothing is searched, shown or recorded as read."""
    officer = clinic.browser("privacy-officer")
    start = clinic.head()
    for path in ("/record", "/record?action=user.add", "/record?before=5"):
        page = officer.get(path).get_data(as_text=True)
        assert "Nothing has been searched yet" in page
        assert 'class="seq"' not in page
    assert clinic.head() == start


def test_a_stated_purpose_is_recorded_with_the_case_and_the_filters(clinic: Clinic) -> None:
    """The record says why it was read, under which number and what was searched for."""
    officer = clinic.browser("privacy-officer")
    page = officer.get("/record?reason=complaint&case=K-17/2026&action=session.open")
    assert 'class="seq"' in page.get_data(as_text=True)
    read = clinic.record(action="record.read")[0]
    assert read["purpose"] == "complaint"
    assert read["content"]["case"] == "K-17/2026"
    assert read["content"]["filters"]["action"] == "session.open"


def test_the_reason_goes_along_to_the_next_page(clinic: Clinic) -> None:
    """Older entries are read for the same stated purpose."""
    for _ in range(60):
        clinic.operations.people.list_users(clinic.actor("administrator"))
    page = clinic.browser("privacy-officer").get("/record?reason=incident&case=9")
    older = page.get_data(as_text=True).split('href="/record?before=')[1].split('"')[0]
    assert "reason=incident" in older
    assert "case=9" in older


@pytest.mark.parametrize(
    "reason",
    ["reason=curiosity", "case=K-1", "reason=complaint&case=Smith", "reason=complaint&case=Mrs 1",
     f"reason=complaint&case={'1' * 33}"],
)  # fmt: skip
def test_a_reason_that_is_none_is_refused_and_stays_out_of_the_record(
    clinic: Clinic, reason: str
) -> None:
    """A purpose comes from the list; a case number has a digit and no space, so it is no name."""
    officer = clinic.browser("privacy-officer")
    response = officer.get(f"/record?{reason}")
    assert response.status_code == 400
    assert 'class="seq"' not in response.get_data(as_text=True)
    refused = clinic.record(action="record.read")[0]
    assert refused["outcome"] == "refused"
    assert "Smith" not in json.dumps(clinic.record())


def test_an_auditor_may_say_why_and_need_not(clinic: Clinic) -> None:
    """For the auditor a purpose is recorded when there is one."""
    auditor = clinic.browser("auditor")
    auditor.get("/record")
    assert clinic.record(action="record.read")[0]["purpose"] is None
    auditor.get("/record?reason=routine-review")
    assert clinic.record(action="record.read")[0]["purpose"] == "routine-review"


def test_a_privacy_officer_verifies_without_reading(clinic: Clinic) -> None:
    """A verification shows no entry, so it needs no purpose."""
    officer = clinic.browser("privacy-officer")
    page = officer.submit("/record/verify", page="/record").get_data(as_text=True)
    assert "The record is whole" in page
    assert 'class="seq"' not in page
