"""Correcting an entry in a browser: the form under it, the marks, and who may."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.simulators.clinic import CSRF, ONCE, Browser, Clinic

FIELDS = {"wrong": "wrong-account", "right_purpose": "", "case_of_correction": "K-17/2026"}


def corrections(clinic: Clinic) -> list[dict[str, Any]]:
    """Return the corrections that were made, oldest first."""
    return clinic.record(action="record.correct", outcome="success")[::-1]


def correct(browser: Browser, seq: int, page: str = "/record", **fields: str) -> Any:
    return browser.submit(f"/record/entries/{seq}/correct", {**FIELDS, **fields}, page=page)


def test_a_correction_marks_its_original_and_leads_back_to_it(clinic: Clinic) -> None:
    """Both ends name each other; the original's bytes and hash stay."""
    before = clinic.record()[-1]
    auditor = clinic.browser("auditor")
    response = correct(auditor, 0, action="appliance.init")
    assert response.status_code == 303
    assert response.location == "/record?action=appliance.init#entry-0"
    (entry,) = corrections(clinic)
    assert clinic.record()[-1] == before
    assert entry["content"]["leaf"] == before["leaf"]
    assert entry["agent"]["user"] == clinic.actor("auditor").user
    page = auditor.get("/record?action=appliance.init").get_data(as_text=True)
    assert f"corrected by entry {entry['seq']}</span>" in page
    assert f'href="/record?before={entry["seq"] + 1}"' in page
    page = auditor.get("/record?action=record.correct").get_data(as_text=True)
    assert "about entry 0</span>" in page
    assert '<a href="/record?before=1">Original: entry 0</a>' in page


def test_the_form_stands_under_what_can_be_corrected(clinic: Clinic) -> None:
    """Each form has a token of its own; a hand-over of keys has none."""
    page = clinic.browser("auditor").get("/record").get_data(as_text=True)
    forms = re.findall(r'action="/record/entries/(\d+)/correct"', page)
    assert forms == re.findall(r'class="seq">(\d+)<', page)
    tokens = ONCE.findall(page)
    assert len(set(tokens)) == len(tokens) >= len(forms)


def test_a_form_that_is_sent_twice_corrects_once(clinic: Clinic) -> None:
    """The second press gets the first one's result."""
    auditor = clinic.browser("auditor")
    assert [correct(auditor, 0, once="twice").status_code for _ in range(2)] == [303, 303]
    assert len(corrections(clinic)) == 1
    assert correct(auditor, 0, once="again").status_code == 303
    assert len(corrections(clinic)) == 2


def test_a_forged_form_corrects_nothing(clinic: Clinic) -> None:
    """Without the token of the session, or from another site, it is refused."""
    auditor = clinic.browser("auditor")
    response = auditor.client.post("/record/entries/0/correct", data={**FIELDS, "csrf": "0" * 64})
    assert response.status_code == 403
    token = CSRF.search(auditor.get("/record").get_data(as_text=True))
    assert token is not None
    response = auditor.client.post(
        "/record/entries/0/correct", data={**FIELDS, "csrf": token[1], "once": "a"},
        headers={"Sec-Fetch-Site": "cross-site"},
    )  # fmt: skip
    assert response.status_code == 403
    assert corrections(clinic) == []


@pytest.mark.parametrize("role", ["administrator", "approver", "clinician", "steward"])
def test_other_roles_are_refused_and_that_is_recorded(clinic: Clinic, role: str) -> None:
    """Whoever does not read the record does not correct it."""
    assert correct(clinic.browser(role), 0, page="/account").status_code == 403
    assert corrections(clinic) == []
    refused = clinic.record(user=clinic.actor(role).user, outcome="refused")[0]
    assert refused["content"]["code"] == "forbidden"


def test_a_privacy_officer_corrects_and_keeps_the_reason_of_reading(clinic: Clinic) -> None:
    """The reason and case of reading go along, and are not taken for those of the correction."""
    officer = clinic.browser("privacy-officer")
    page = "/record?reason=complaint&case=K-1"
    fields = {"reason": "complaint", "case": "K-1", "before": "5", "case_of_correction": ""}
    location = correct(officer, 0, page, **fields).location
    assert location == "/record?reason=complaint&case=K-1&before=5#entry-0"
    (entry,) = corrections(clinic)
    assert entry["content"]["reason"] == "wrong-account"
    assert "case" not in entry["content"]
    assert "corrected by entry" in officer.get(location).get_data(as_text=True)


@pytest.mark.parametrize(
    ("seq", "fields", "status"),
    [
        (0, {"wrong": ""}, 400),
        (0, {"wrong": "Mrs Smith"}, 400),
        (0, {"right_purpose": "Mrs Smith"}, 400),
        (0, {"case_of_correction": "Smith"}, 400),
        (0, {"once": ""}, 400),
        (9_999, {}, 404),
        (2**53, {}, 404),
    ],
)
def test_what_cannot_be_is_refused(
    clinic: Clinic, seq: int, fields: dict[str, str], status: int
) -> None:
    """The page says why, and no typed text reaches the record."""
    assert correct(clinic.browser("auditor"), seq, **fields).status_code == status
    assert corrections(clinic) == []
    assert "Smith" not in str(clinic.record())
