"""The sheet for the ward's logbook: what is on it, who gets it, and that a reader reads it."""

from __future__ import annotations

import html
import re

import pytest

from appliance.audit.checkpoint import SignedCheckpoint, VerifierKey
from tests.simulators import qr_reader
from tests.simulators.clinic import Clinic

PATH = "/record/checkpoint"


def note_on(page: str) -> str:
    """Return the note as the sheet shows it in words."""
    found = re.search(r'<pre class="note"[^>]*>(.*?)</pre>', page, re.S)
    assert found is not None
    return html.unescape(found[1])


def test_the_sheet_has_the_checkpoint_in_words_and_as_a_code(answering: Clinic) -> None:
    """Another program than the one that drew the code reads the same note, byte for byte."""
    page = answering.browser("auditor").get(PATH).get_data(as_text=True)
    note = note_on(page)
    signed = SignedCheckpoint.parse(note)
    key = VerifierKey.parse(answering.appliance.ledger.keys()[-1].key)
    made = signed.verify(key)
    assert qr_reader.from_svg(page) == note.encode()
    assert f"<code>{made.origin}</code>" in page
    assert f'<strong class="count">{made.size:,}</strong>' in page
    assert made.text().splitlines()[2] in page
    assert key.id.hex() in page


def test_there_are_lines_to_sign_on(answering: Clinic) -> None:
    """Checked by, signature, date: paper is worth what somebody vouches for."""
    page = answering.browser("auditor").get(PATH).get_data(as_text=True)
    for words in ("Checked by", "Signature", "Date and time"):
        assert words in page


def test_nothing_on_the_sheet_needs_what_the_policy_forbids(answering: Clinic) -> None:
    """No inline style, no script, no data address, so the strict policy stays as it is."""
    response = answering.browser("auditor").get(PATH)
    sheet = re.search(r'<article class="sheet".*?</article>', response.get_data(as_text=True), re.S)
    assert sheet is not None
    for forbidden in ("style=", "<style", "<script", "data:", "onload"):
        assert forbidden not in sheet[0]
    assert "unsafe-inline" not in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "no-store"


def test_each_sheet_covers_everything_so_far_and_is_recorded(answering: Clinic) -> None:
    """With size and root, so that the record knows which sheets there are."""
    browser = answering.browser("auditor")
    first = SignedCheckpoint.parse(note_on(browser.get(PATH).get_data(as_text=True))).checkpoint
    second = SignedCheckpoint.parse(note_on(browser.get(PATH).get_data(as_text=True))).checkpoint
    assert second.size > first.size
    entry = answering.record(action="record.checkpoint")[0]
    content = entry["content"]
    assert (content["form"], content["size"]) == ("page", second.size)
    assert entry["agent"]["user"] == answering.actor("auditor").user


def test_the_file_is_the_note(answering: Clinic) -> None:
    """Named after record and size, as text, to be kept elsewhere."""
    response = answering.browser("auditor").get(f"{PATH}/file")
    signed = SignedCheckpoint.parse(response.get_data())
    origin = signed.checkpoint.origin.replace("/", "-")
    name = f'attachment; filename="{origin}-{signed.checkpoint.size}.checkpoint"'
    assert response.headers["Content-Disposition"] == name
    assert response.mimetype == "text/plain"
    assert answering.record(action="record.checkpoint")[0]["content"]["form"] == "file"


@pytest.mark.parametrize("path", [PATH, f"{PATH}/file"])
@pytest.mark.parametrize("role", ["clinician", "administrator", "steward", "approver"])
def test_others_get_none(answering: Clinic, role: str, path: str) -> None:
    """The auditor alone takes checkpoints from the page."""
    assert answering.browser(role).get(path).status_code == 403


def test_the_record_page_leads_there(answering: Clinic) -> None:
    """An auditor finds it without reading a manual."""
    assert f'href="{PATH}"' in answering.browser("auditor").get("/record").get_data(as_text=True)
