"""What the gateway remembers of a form that was sent, and for whom."""

from __future__ import annotations

import re
import time

from appliance.operations.answer_run import AnswerRun
from appliance.web import current
from appliance.web.once import Once
from appliance.web.pages.chat import Asked
from tests.simulators.clinic import Clinic

SECRET = re.compile(r'<code class="secret">([^<]+)</code>')


def memory(clinic: Clinic) -> Once:
    gateway = clinic.app.extensions[current.EXTENSION]
    assert isinstance(gateway, current.Gateway)
    return gateway.once


def test_a_key_form_sent_twice_shows_the_same_key_twice(answering: Clinic) -> None:
    """Whoever pressed twice sees the second response alone, so the key stands there too."""
    browser = answering.browser("clinician")
    fields = {"label": "twice", "once": "pressed twice"}
    keys = [
        SECRET.findall(browser.submit("/account/keys", fields).get_data(as_text=True))
        for _ in range(2)
    ]
    assert keys[0] == keys[1] != []


def test_another_session_of_the_same_person_is_never_shown_the_key(answering: Clinic) -> None:
    """A form token carried into another session makes another key and does not show the first."""
    fields = {"label": "carried", "once": "carried over"}
    first, second = (
        SECRET.findall(
            answering.browser("clinician").submit("/account/keys", fields).get_data(as_text=True)
        )
        for _ in range(2)
    )
    assert first != second


def test_a_first_password_is_soon_forgotten_and_never_made_twice(clinic: Clinic) -> None:
    """The same form later is a clear 409 without a password; the account stays as it was."""
    memory(clinic)._secret_s = 0.0
    browser = clinic.browser("administrator")
    first = browser.submit("/people/steward/reset", {"once": "reset"}, page="/people")
    assert SECRET.search(first.get_data(as_text=True))
    before = len(clinic.record(action="user.reset"))
    for _ in range(100):
        time.sleep(0.01)
        if None in memory(clinic)._results.values():
            break
    again = browser.submit("/people/steward/reset", {"once": "reset"}, page="/people")
    assert again.status_code == 409
    assert "not shown again" in again.get_data(as_text=True)
    assert SECRET.search(again.get_data(as_text=True)) is None
    assert len(clinic.record(action="user.reset")) == before


def test_of_a_question_only_ids_are_remembered(answering: Clinic) -> None:
    """No text of a question or an answer is kept for a form that might come again."""
    browser = answering.browser("clinician")
    browser.submit("/c", {"prompt": "quokka", "once": "remembered"}, page="/")
    kept = [future.result() for future in memory(answering)._results.values() if future]
    assert any(isinstance(result, Asked) for result in kept)
    assert not any(isinstance(result, AnswerRun) for result in kept)
