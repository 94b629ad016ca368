"""Asking in the chat page: what is asked, shown, kept, found again."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from tests.simulators.clinic import ONCE, Browser, Clinic


def ask(browser: Browser, prompt: str = "How is the patient?", **fields: Any) -> str:
    """Ask in a new chat and return the path of the conversation."""
    response = browser.submit("/c", {"prompt": prompt, **fields}, page="/")
    assert response.status_code == 303, response.get_data(as_text=True)
    return response.location.split("#")[0]


def ended(browser: Browser, path: str) -> str:
    """Return the page of a conversation once its answers have ended."""
    for _ in range(600):
        page = browser.get(path).get_data(as_text=True)
        if "data-events" not in page:
            return page
        time.sleep(0.05)
    raise AssertionError("the answer did not end")


def events(browser: Browser, answer_id: str) -> list[dict[str, Any]]:
    """Return every event of an answer's stream until it ends."""
    body = browser.get(f"/answers/{answer_id}/events").get_data(as_text=True)
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]


def answer_of(page: str) -> str:
    return page.split('<article class="answer" id="')[-1].split('"')[0]


def test_a_question_is_answered_with_model_time_notice_and_record_number(answering: Clinic) -> None:
    """A finished answer says who wrote it, when, under which record number, and to check it."""
    browser = answering.browser("clinician")
    page = ended(browser, ask(browser))
    assert "tiny 1.0" in page
    assert "AI-generated, check before use" in page
    outcome = answering.record(action="answer.complete")[0]
    assert f"Record {outcome['seq']}" in page
    assert "<time datetime=" in page


def test_a_demo_model_is_labelled_on_the_answer_and_in_the_list(answering: Clinic) -> None:
    """DEMO stands beside the answer, in the copied text and in the choice of models."""
    browser = answering.browser("clinician")
    page = ended(browser, ask(browser))
    assert 'class="badge demo"' in page
    assert "tiny 1.0 (demo model)" in page
    assert "tiny 1.0 · DEMO" in page


def test_the_copied_text_says_where_it_comes_from(answering: Clinic) -> None:
    """What Copy copies ends with the notice, the model and the record number."""
    browser = answering.browser("clinician")
    page = ended(browser, ask(browser))
    copied = page.split('data-copy-text="')[1].split('"')[0]
    assert copied.rstrip().endswith("]")
    assert "[AI-generated, check before use · tiny 1.0 (demo model) · record " in copied


def test_the_question_is_shown_as_it_was_typed(answering: Clinic) -> None:
    """HTML, line ends, emoji and right-to-left text in a question are shown, never run."""
    browser = answering.browser("clinician")
    page = ended(browser, ask(browser, "<script>alert(1)</script>\r\nنعم 🙂"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\nنعم 🙂" in page


def test_a_form_sent_twice_asks_once(answering: Clinic) -> None:
    """Pressing Send twice leads both times to the same answer."""
    browser = answering.browser("clinician")
    before = len(answering.record(action="answer.request"))
    first = ask(browser, once="pressed twice")
    second = ask(browser, once="pressed twice")
    assert first == second
    assert len(answering.record(action="answer.request")) == before + 1


def test_a_script_gets_the_turn_as_a_fragment_and_a_fresh_token(answering: Clinic) -> None:
    """A follow-up asked by script returns the turn to put on the page, and the next form token."""
    browser = answering.browser("clinician")
    path = ask(browser)
    page = ended(browser, path)
    used = ONCE.search(page)
    response = browser.submit(
        f"{path}/ask", {"prompt": "And now?"}, page=path, headers={"Accept": "application/json"}
    )
    body = response.get_json()
    assert "And now?" in body["html"]
    assert body["answer"] in body["html"]
    assert used is not None
    assert body["once"] != used[1]


def test_an_empty_question_is_refused_and_the_page_says_so(answering: Clinic) -> None:
    """Spaces are no question; the page comes back with a sentence."""
    response = answering.browser("clinician").submit("/c", {"prompt": "  \n "}, page="/")
    assert response.status_code == 400
    assert "The question is empty" in response.get_data(as_text=True)


@pytest.mark.parametrize(
    ("fields", "status"), [({"model": "nowhere"}, 404), ({"purpose": "curiosity"}, 400)]
)
def test_a_refused_question_keeps_what_was_typed(
    answering: Clinic, fields: dict[str, str], status: int
) -> None:
    """When policy refuses, the draft is still in the box and the refusal is recorded."""
    browser = answering.browser("clinician")
    response = browser.submit("/c", {"prompt": "a careful draft", **fields}, page="/")
    assert response.status_code == status
    assert ">a careful draft</textarea>" in response.get_data(as_text=True)
    assert answering.record(action="answer.refuse")


def test_a_prompt_over_the_context_fails_with_a_clear_sentence(answering: Clinic) -> None:
    """A prompt that does not fit is answered by a failed answer that says what to do."""
    browser = answering.browser("clinician")
    page = ended(browser, ask(browser, "long " * 5_000))
    assert "Failed" in page
    assert "Shorten the text" in page


@pytest.mark.parametrize(
    "prompt", ["x" * 200_000, "\x00\x01\x1b[31m\x7f", "🙂" * 50, "\u202e\u202d"]
)
def test_strange_questions_never_break_the_page(answering: Clinic, prompt: str) -> None:
    """A long word, control characters, emoji and reordering marks get an answer or an error."""
    browser = answering.browser("clinician")
    response = browser.submit("/c", {"prompt": prompt}, page="/")
    assert response.status_code in {303, 400}
    if response.status_code == 303:
        assert "</html>" in ended(browser, response.location.split("#")[0])


# --- the history


def test_nobody_else_finds_a_conversation(answering: Clinic) -> None:
    """Another person's conversation does not exist, whatever is tried with it."""
    path = ask(answering.browser("clinician"))
    other = answering.browser("steward")
    assert other.get(path).status_code == 404
    for verb in ("ask", "rename", "archive", "restore"):
        fields = {"prompt": "x", "title": "x"}
        assert other.submit(f"{path}/{verb}", fields).status_code == 404


def test_nobody_else_watches_or_stops_an_answer(answering: Clinic) -> None:
    """The stream and the Stop of an answer belong to its author."""
    browser = answering.browser("clinician")
    answer = answer_of(ended(browser, ask(browser)))
    other = answering.browser("steward")
    assert other.get(f"/answers/{answer}/events").status_code == 404
    assert other.submit(f"/answers/{answer}/stop").status_code == 404


def test_a_conversation_is_renamed_found_archived_and_restored(answering: Clinic) -> None:
    """A conversation answers to its new name, leaves the list when archived, and comes back."""
    browser = answering.browser("clinician")
    path = ask(browser)
    browser.submit(f"{path}/rename", {"title": "A rare <b>Zebra</b>"})
    found = browser.get("/history?q=zebra").get_data(as_text=True)
    assert "A rare &lt;b&gt;Zebra&lt;/b&gt;" in found
    browser.submit(f"{path}/archive")
    assert "No chat has these words" in browser.get("/history?q=zebra").get_data(as_text=True)
    assert path in browser.get("/history?archived=1").get_data(as_text=True)
    browser.submit(f"{path}/restore")
    assert path in browser.get("/history?q=zebra").get_data(as_text=True)


def test_an_empty_page_offers_what_the_models_card_suggests(answering: Clinic) -> None:
    """Starters come from the signed card of the model."""
    page = answering.browser("clinician").get("/").get_data(as_text=True)
    assert 'data-starter="Summarise this note."' in page


# --- while it is written


def test_the_stream_shows_snapshots_and_ends_with_the_whole_answer(talking: Clinic) -> None:
    """Events are whole snapshots in order, the last one carries the finished answer."""
    browser = talking.browser("clinician")
    path = ask(browser)
    answer = answer_of(browser.get(path).get_data(as_text=True))
    actor = talking.actor("clinician")
    threading.Timer(1.0, lambda: talking.operations.asking.stop(actor, answer)).start()
    seen = events(browser, answer)
    versions = [event["version"] for event in seen]
    assert versions == sorted(set(versions))
    assert len(seen) <= 25
    assert any(event["state"] == "answering" for event in seen)
    assert seen[-1]["ended"]
    assert "AI-generated" in seen[-1]["card"]


def test_a_reload_midway_finds_the_answer_and_leaving_does_not_stop_it(talking: Clinic) -> None:
    """A page that went away and came back shows the text so far and attaches again."""
    browser = talking.browser("clinician")
    path = ask(browser)
    answer = answer_of(browser.get(path).get_data(as_text=True))
    with browser.get(f"/answers/{answer}/events", buffered=False) as response:
        next(response.iter_encoded())
    time.sleep(0.3)
    again = browser.get(path).get_data(as_text=True)
    assert "data-events" in again
    browser.submit(f"/answers/{answer}/stop")
    assert "Stopped" in ended(browser, path)


def test_a_stopped_answer_is_kept_marked_and_recorded(talking: Clinic) -> None:
    """Stop keeps the text so far, marks it, and the record says stopped."""
    browser = talking.browser("clinician")
    path = ask(browser)
    time.sleep(0.5)
    answer = answer_of(browser.get(path).get_data(as_text=True))
    response = browser.submit(f"/answers/{answer}/stop", headers={"Accept": "application/json"})
    assert response.get_json() == {"stopping": answer}
    page = ended(browser, path)
    assert "You stopped this answer" in page
    assert "stopped early" in page
    assert talking.record(action="answer.stop")[0]["entity"] == answer


def test_a_finished_answer_is_read_on_its_page_and_not_from_the_stream(answering: Clinic) -> None:
    """A late stream says that it is over and nothing of the text, since nobody recorded a read."""
    browser = answering.browser("clinician")
    path = ask(browser)
    page = ended(browser, path)
    start = answering.head()
    body = browser.get(f"/answers/{answer_of(page)}/events").get_data(as_text=True)
    assert body.endswith("event: over\ndata: {}\n\n")
    assert len(body) < 60
    assert answering.head() == start
    browser.get(path)
    assert answering.record(action="conversation.read")[0]["seq"] >= start


def test_a_stream_is_not_activity(clinic: Clinic) -> None:
    """Watching an answer does not keep a session alive."""
    from appliance.web.access import access_of

    access = access_of(clinic.app.view_functions["answers.events"])
    assert access is not None
    assert not access.touch


def test_without_an_engine_the_answer_says_that_it_is_loading(clinic: Clinic) -> None:
    """While the model is not there yet, the page says so with the time, and Stop works."""
    browser = clinic.browser("clinician")
    path = ask(browser)
    time.sleep(0.6)
    page = browser.get(path).get_data(as_text=True)
    assert "Loading the model" in page
    browser.submit(f"/answers/{answer_of(page)}/stop")
    assert "Stopped" in ended(browser, path)
