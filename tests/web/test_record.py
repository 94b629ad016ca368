"""The auditor's page: search, verify, export; and what it never shows."""

from __future__ import annotations

import csv
import io
import json
import sqlite3

import pytest

from tests.simulators.clinic import Clinic


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


def test_a_whole_record_is_called_whole(answering: Clinic) -> None:
    """Verify now reads every entry and says so, and the verification is recorded."""
    page = answering.browser("auditor").submit("/record/verify").get_data(as_text=True)
    assert "The record is whole" in page
    assert answering.record(action="record.verify")[0]["outcome"] == "success"


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
