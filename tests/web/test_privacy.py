"""The privacy officer's page, and what a clinician sees of it: a field, and a notice."""

from __future__ import annotations

import re

import pytest

from appliance.audit.proof import TlogProof
from appliance.conversations.store import ModelUsed
from tests.simulators.clinic import ONCE, Browser, Clinic
from tests.web.test_chat import answer_of, ask, ended

OFFICER = "privacy-officer"
BASIS = "GDPR Art. 17(1)(a)"
REFERENCE = "MRN 4711"


def conversation(clinic: Clinic, reference: str | None = None) -> str:
    """Return the id of a clinician's conversation, about a patient or not."""
    store, user = clinic.appliance.conversations, clinic.actor("clinician").user
    subject = store.subjects.ensure(reference) if reference else None
    used = ModelUsed("tiny", "1.0", "ab" * 32)
    return store.begin(user, "Xylotitle", "chat", "Xyloprompt", used, subject)[0]


def erase(browser: Browser, whose: str, kind: str = "patient", **fields: str) -> tuple[int, str]:
    """Send the form that erases; return the status and the page that follows."""
    form = {"kind": kind, "whose": whose, "basis": BASIS, "confirm": "erase", **fields}
    response = browser.submit("/privacy/erase", form, page="/privacy")
    page = browser.get("/privacy") if response.status_code == 303 else response
    return response.status_code, page.get_data(as_text=True)


def test_erasing_shows_in_the_list_with_a_certificate_to_take_along(clinic: Clinic) -> None:
    """A page to print and the signed file, both about the very entry."""
    conversation(clinic, REFERENCE)
    officer = clinic.browser(OFFICER)
    status, page = erase(officer, REFERENCE)
    assert status == 303
    assert BASIS in page
    assert REFERENCE not in page
    text, file = re.findall(r'href="(/privacy/erasures/[^"]+)"', page)
    printed = officer.get(text)
    assert "attachment" in printed.headers["Content-Disposition"]
    assert "CERTIFICATE OF DELETION" in printed.get_data(as_text=True)
    proof = TlogProof.parse(officer.get(file).get_data(as_text=True))
    assert proof.seq == clinic.record(action="content.erase")[0]["seq"]


def test_erasing_needs_the_typed_word(clinic: Clinic) -> None:
    """Without it nothing happens, and what was typed is still there."""
    conversation(clinic, REFERENCE)
    status, page = erase(clinic.browser(OFFICER), REFERENCE, confirm="yes")
    assert status == 400
    assert "nothing was erased" in page
    assert f'value="{BASIS}"' in page
    assert clinic.record(action="content.erase") == []


def test_sent_twice_it_acts_once(clinic: Clinic) -> None:
    """A double click is one erasure and one entry."""
    conversation(clinic, REFERENCE)
    officer = clinic.browser(OFFICER)
    answers = [erase(officer, REFERENCE, once="same form")[0] for _ in range(2)]
    assert answers == [303, 303]
    assert len(clinic.record(action="content.erase", outcome="success")) == 1


def test_a_hold_forbids_erasing_until_it_is_released(clinic: Clinic) -> None:
    """The page names the hold; a release needs a reason."""
    made = conversation(clinic, REFERENCE)
    officer = clinic.browser(OFFICER)
    form = {"kind": "user", "whose": "clinician", "reason": "litigation 2026-113"}
    assert officer.submit("/privacy/hold", form, page="/privacy").status_code == 303
    status, page = erase(officer, made, "conversation")
    assert status == 409
    hold = clinic.operations.content.holds(clinic.actor(OFFICER))[0]
    assert hold.id in page
    address = f"/privacy/holds/{hold.id}/release"
    refused = officer.submit(address, {"reason": ""}, page="/privacy")
    assert refused.status_code == 400
    released = officer.submit(address, {"reason": "case closed"}, page="/privacy")
    assert released.status_code == 303
    assert "case closed" in officer.get("/privacy").get_data(as_text=True)
    assert erase(officer, made, "conversation")[0] == 303


@pytest.mark.parametrize(
    ("kind", "whose", "status"),
    [("patient", "nobody", 404), ("patient", "", 400), ("user", "nobody", 404), ("all", "", 404)],
)
def test_what_cannot_be_erased_is_told(clinic: Clinic, kind: str, whose: str, status: int) -> None:
    """On the page itself, beside the form."""
    assert erase(clinic.browser(OFFICER), whose, kind)[0] == status


def test_what_is_due_is_shown_on_request(clinic: Clinic) -> None:
    """Looking is recorded, so it is a button."""
    page = clinic.browser(OFFICER).submit("/privacy/plan", page="/privacy")
    assert "Due now:" in page.get_data(as_text=True)
    assert clinic.record(action="retention.plan")[0]["outcome"] == "success"


def test_a_number_leads_to_its_entries(clinic: Clinic) -> None:
    """The address holds the pseudonym, and the look-up is recorded, also one in vain."""
    conversation(clinic, REFERENCE)
    officer = clinic.browser(OFFICER)
    why = {"reason": "complaint", "case": "K-17"}
    found = officer.submit("/privacy/find", {"whose": REFERENCE, **why}, page="/privacy")
    subject = clinic.appliance.conversations.subjects.find(REFERENCE)
    assert found.location == f"/record?subject={subject}&reason=complaint&case=K-17"
    entry = clinic.record(action="record.read")[0]
    assert (entry["purpose"], entry["content"]["case"]) == ("complaint", "K-17")
    assert entry["content"]["filters"] == {"subject": subject}
    unknown = officer.submit("/privacy/find", {"whose": "0", **why}, page="/privacy")
    assert unknown.status_code == 404
    assert clinic.record(action="record.read")[0]["outcome"] == "refused"


def test_a_patient_is_not_looked_up_without_a_purpose(clinic: Clinic) -> None:
    """Whether a number is known here is told for a stated purpose only."""
    conversation(clinic, REFERENCE)
    officer = clinic.browser(OFFICER)
    page = officer.submit("/privacy/find", {"whose": REFERENCE}, page="/privacy")
    assert page.status_code == 400
    assert "pat_" not in page.get_data(as_text=True)
    assert clinic.record(action="record.read")[0]["outcome"] == "refused"


def test_the_page_is_the_privacy_officers_alone(clinic: Clinic) -> None:
    """It stands in their sidebar and in nobody else's."""
    assert 'href="/privacy"' in clinic.browser(OFFICER).get("/privacy").get_data(as_text=True)
    assert 'href="/privacy"' not in clinic.browser("clinician").get("/").get_data(as_text=True)
    assert clinic.browser("auditor").get("/privacy").status_code == 403


def test_the_author_is_told_what_was_erased(clinic: Clinic) -> None:
    """Date and entry instead of texts; no field to go on with, no error."""
    made = conversation(clinic, REFERENCE)
    erase(clinic.browser(OFFICER), REFERENCE)
    browser = clinic.browser("clinician")
    page = browser.get(f"/c/{made}").get_data(as_text=True)
    entry = clinic.record(action="content.erase", outcome="success")[0]["seq"]
    assert f"entry {entry} of the record" in page
    assert "Erased on" in page
    assert 'id="composer"' not in page
    history = browser.get("/history").get_data(as_text=True)
    assert "Erased chat" in history
    found = browser.get("/history?q=erased").get_data(as_text=True)
    assert "No chat has these words" in found
    again = browser.submit(f"/c/{made}/ask", {"prompt": "more", "once": "x"}, page="/")
    assert again.status_code == 409


# The shortest text there is, padded to 64 bytes: format, nonce and tag around it.
SEALED_NOTHING = 1 + 12 + 64 + 16


def test_an_answer_ends_when_what_it_is_about_is_erased(talking: Clinic) -> None:
    """It was being written; the model stops, and the text so far is shown to nobody."""
    browser = talking.browser("clinician")
    path = ask(browser, patient="MRN 77")
    answer = answer_of(browser.get(path).get_data(as_text=True))
    run = talking.operations.asking.run_of(talking.actor("clinician"), answer)
    assert run is not None
    while not (state := run.snapshot()).text and not state.ended:
        run.wait(state.version, 30)
    assert not state.ended
    assert erase(talking.browser(OFFICER), "MRN 77")[0] == 303
    state = run.finished(30)
    assert (state.state, state.text) == ("failed", "")
    assert state.elapsed_ms < talking.config.engine.answer_timeout_s * 1000 / 2
    talking.operations.asking.reconcile()
    (end,) = talking.record(action="answer.fail", entity=run.answer_id)
    # Nothing, or, when the key was about to go, the sealed form of nothing.
    said = end["content"]["answer"]
    assert said is None or said["bytes"] == SEALED_NOTHING


# --- the patient on a question


def test_a_chat_is_about_the_patient_that_was_named(answering: Clinic) -> None:
    """Both entries carry the pseudonym; no page and no entry shows the number."""
    browser = answering.browser("clinician")
    path = ask(browser, patient=REFERENCE)
    page = ended(browser, path)
    subject = answering.appliance.conversations.subjects.find(REFERENCE)
    entries = answering.record()[:20]
    about = [entry for entry in entries if (entry["content"] or {}).get("subject") == subject]
    assert {entry["action"] for entry in about} >= {"answer.request", "answer.complete"}
    assert REFERENCE not in page + str(entries)
    assert 'placeholder="as before"' in page


def test_another_patient_needs_another_chat(answering: Clinic) -> None:
    """Two patients in one chat are refused; none, or the same, goes on."""
    browser = answering.browser("clinician")
    path = ask(browser, patient=REFERENCE)
    ended(browser, path)
    once = ONCE.search(browser.get(path).get_data(as_text=True))
    assert once is not None
    other = {"prompt": "and he?", "patient": "0815", "once": once[1]}
    refused = browser.submit(f"{path}/ask", other, page=path)
    assert refused.status_code == 409
    assert "about another patient" in refused.get_data(as_text=True)
    same = {"prompt": "and?", "patient": REFERENCE.lower()}
    assert browser.submit(f"{path}/ask", same, page=path).status_code == 303
    ended(browser, path)


def test_a_program_names_the_patient_in_metadata(answering: Clinic) -> None:
    """`metadata.patient`, in the body that OpenAI's clients send."""
    response = Browser(answering).client.post(
        "/v1/chat/completions",
        json={
            "model": "tiny", "max_tokens": 4, "metadata": {"patient": "ENC-77/1"},
            "messages": [{"role": "user", "content": "hi"}],
        },
        headers={"Authorization": f"Bearer {answering.key()}"},
    )  # fmt: skip
    assert response.status_code == 200
    subject = answering.appliance.conversations.subjects.find("enc-77/1")
    assert subject
    request = answering.record(action="answer.request")[0]
    assert request["content"]["subject"] == subject


def test_a_reference_that_cannot_be_one_is_refused(answering: Clinic) -> None:
    """Before anything is asked, and without repeating it."""
    browser = answering.browser("clinician")
    response = browser.submit("/c", {"prompt": "hi", "patient": "x" * 129}, page="/")
    assert response.status_code == 400
    assert answering.record(action="answer.refuse")[0]["content"] == {"code": "bad_input"}
