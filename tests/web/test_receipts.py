"""Receipts: who gets one, what it proves, and what stands in its page, file and QR code."""

from __future__ import annotations

import html
import json
import sqlite3

import pytest

from appliance.audit import merkle, qr
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.proof import TlogProof
from appliance.operations.receipts import AnswerReceipt
from appliance.web.pages.receipts import MAX_CODE_BYTES
from tests.simulators.clinic import Browser, Clinic
from tests.simulators.qr_reader import from_svg
from tests.web.test_chat import answer_of, ask, ended

REASON = "reason=complaint&case=K-17/2026"


def answered(browser: Browser) -> tuple[str, str]:
    """Ask something; return the page of the conversation and the id of the finished answer."""
    page = ended(browser, ask(browser))
    return page, answer_of(page)


def outcome(clinic: Clinic, answer_id: str) -> dict[str, object]:
    return clinic.record(entity=answer_id, action="answer.complete")[0]


def newest_key(clinic: Clinic) -> VerifierKey:
    return VerifierKey.parse(clinic.appliance.ledger.keys()[-1].key)


def test_a_finished_answer_leads_to_its_receipt(answering: Clinic) -> None:
    """The card links to a page that shows the entry, the checkpoint, the key and a QR code."""
    browser = answering.browser("clinician")
    page, answer_id = answered(browser)
    assert f'href="/answers/{answer_id}/receipt"' in page
    shown = browser.get(f"/answers/{answer_id}/receipt").get_data(as_text=True)
    entry = outcome(answering, answer_id)
    assert f"Receipt for entry {entry['seq']}" in shown
    assert str(entry["leaf"]) in shown
    assert newest_key(answering).id.hex() in shown
    assert "answer.complete" in shown
    assert "<svg" in shown
    assert answer_id in shown


def test_the_file_proves_the_entry_and_no_other(answering: Clinic) -> None:
    """The proof holds under the record's key, for exactly the bytes that the record stores."""
    browser = answering.browser("clinician")
    _, answer_id = answered(browser)
    response = browser.get(f"/answers/{answer_id}/receipt/file")
    assert response.headers["Content-Disposition"].endswith(f'"{answer_id}.tlog-proof"')
    proof = TlogProof.parse(response.get_data(as_text=True))
    proof.verify(newest_key(answering))
    stored = outcome(answering, answer_id)
    assert merkle.leaf_hash(proof.entry).hex() == stored["leaf"]
    assert json.loads(proof.entry)["entity"] == answer_id
    assert proof.seq == stored["seq"]


def test_the_qr_code_holds_the_proof_without_the_entry(answering: Clinic) -> None:
    """Whoever has the entry from the record can check it with the code alone."""
    browser = answering.browser("clinician")
    _, answer_id = answered(browser)
    page = browser.get(f"/answers/{answer_id}/receipt").get_data(as_text=True)
    text = html.unescape(page.split('class="prooftext" tabindex="0">')[1].split("</pre>")[0])
    receipt = AnswerReceipt.read(text)
    assert from_svg(page.split('class="code"')[1]).decode() == receipt.short
    assert "extra" not in receipt.short
    assert receipt.short.startswith("c2sp.org/tlog-proof@v1\nindex ")
    proof = TlogProof.parse(text)
    checkpoint = proof.signed.verify(newest_key(answering))
    leaf = bytes.fromhex(str(outcome(answering, answer_id)["leaf"]))
    merkle.verify_inclusion(leaf, proof.seq, checkpoint.size, proof.hashes, checkpoint.root)


def test_the_longest_code_there_is_can_be_read() -> None:
    """A page never shows a code that a reader cannot take: a longer proof has none."""
    text = "x" * MAX_CODE_BYTES
    assert from_svg(qr.svg_element(text)).decode() == text


def test_each_look_at_a_receipt_is_recorded_once(answering: Clinic) -> None:
    """The record names who got a proof of which entry, and no question or answer."""
    browser = answering.browser("clinician")
    _, answer_id = answered(browser)
    start = answering.head()
    browser.get(f"/answers/{answer_id}/receipt")
    found = [e for e in answering.record(action="record.prove") if e["seq"] >= start]
    assert [(e["outcome"], e["entity"]) for e in found] == [("success", answer_id)]
    assert found[0]["content"]["entry"] == outcome(answering, answer_id)["seq"]
    assert found[0]["content"]["size"] > found[0]["content"]["entry"]


def test_nobody_else_gets_the_receipt_of_an_answer(answering: Clinic) -> None:
    """To another person who may ask, the answer does not exist; the attempt is recorded."""
    _, answer_id = answered(answering.browser("clinician"))
    other = answering.browser("steward")
    for path in (f"/answers/{answer_id}/receipt", f"/answers/{answer_id}/receipt/file"):
        response = other.get(path)
        assert response.status_code == 404
        assert "clinician" not in response.get_data(as_text=True)
    refused = answering.record(action="record.prove", outcome="refused")[0]
    assert refused["agent"]["user"] == answering.actor("steward").user
    assert refused["entity"] == answer_id


def test_an_answer_that_never_was_has_no_receipt(answering: Clinic) -> None:
    """An id of nothing is a 404."""
    assert answering.browser("clinician").get(f"/answers/msg_{0:024}/receipt").status_code == 404


def test_an_unfinished_answer_says_that_its_receipt_is_not_there_yet(talking: Clinic) -> None:
    """The page says why, and what to do, instead of failing."""
    browser = talking.browser("clinician")
    path = ask(browser, "Talk for a long time.")
    answer_id = answer_of(browser.get(path).get_data(as_text=True))
    response = browser.get(f"/answers/{answer_id}/receipt")
    browser.submit(f"/answers/{answer_id}/stop")
    ended(browser, path)
    assert response.status_code == 409
    assert "has no receipt yet" in response.get_data(as_text=True)
    assert browser.get(f"/answers/{answer_id}/receipt").status_code == 200


def test_a_receipt_outlives_the_text(clinic: Clinic) -> None:
    """When the key of a conversation was destroyed, its answer can still be proved."""
    clinic.start_engine()
    browser = clinic.browser("clinician")
    _, answer_id = answered(browser)
    with sqlite3.connect(clinic.config.paths.keys_db) as keys:
        keys.execute("DELETE FROM content_keys")
    keys.close()
    assert browser.get(f"/answers/{answer_id}/receipt").status_code == 200


def test_an_auditor_proves_any_entry(answering: Clinic) -> None:
    """The record's page leads from an entry to its proof."""
    auditor = answering.browser("auditor")
    page = auditor.get("/record?action=appliance.init").get_data(as_text=True)
    path = page.split('href="/record/entries/')[1].split('"')[0]
    assert "Receipt for entry" in auditor.get(f"/record/entries/{path}").get_data(as_text=True)
    response = auditor.get(f"/record/entries/{path}/file")
    assert 'filename="entry-' in response.headers["Content-Disposition"]
    TlogProof.parse(response.get_data(as_text=True)).verify(newest_key(answering))


def test_an_entry_that_is_not_there_cannot_be_proved(answering: Clinic) -> None:
    """A number beyond the record is a 404, and the attempt is recorded."""
    start = answering.head()
    response = answering.browser("auditor").get("/record/entries/9007199254740991/receipt")
    assert response.status_code == 404
    found = answering.record(action="record.prove", outcome="refused")[0]
    assert found["seq"] >= start


@pytest.mark.parametrize("ending", ["", "/file"])
def test_a_privacy_officer_proves_for_a_stated_purpose_only(answering: Clinic, ending: str) -> None:
    """A proof shows an entry, so it needs a purpose like a search does."""
    officer = answering.browser("privacy-officer")
    assert officer.get(f"/record/entries/1/receipt{ending}").status_code == 400
    assert officer.get(f"/record/entries/1/receipt{ending}?{REASON}").status_code == 200
    entry = answering.record(action="record.prove", outcome="success")[0]
    assert (entry["purpose"], entry["content"]["case"]) == ("complaint", "K-17/2026")


def test_a_program_gets_the_receipt_of_what_it_asked(answering: Clinic) -> None:
    """The answer names its entry in a header, and its receipt can be fetched with the key."""
    headers = {"Authorization": f"Bearer {answering.key()}"}
    client = Browser(answering).client
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    answer = client.post("/v1/chat/completions", json=body, headers=headers)
    answer_id = answer.get_json()["id"].removeprefix("chatcmpl-")
    response = client.get(f"/v1/receipts/{answer_id}", headers=headers)
    assert response.mimetype == "text/plain"
    proof = TlogProof.parse(response.get_data(as_text=True))
    proof.verify(newest_key(answering))
    assert answer.headers["X-Receipt-Entry"] == str(proof.seq)


def test_a_program_of_another_person_gets_no_receipt(answering: Clinic) -> None:
    """A key opens the answers of its owner alone."""
    _, answer_id = answered(answering.browser("clinician"))
    headers = {"Authorization": f"Bearer {answering.key('steward')}"}
    response = Browser(answering).client.get(f"/v1/receipts/{answer_id}", headers=headers)
    assert response.status_code == 404
