"""What takes longer than a page waits: evaluating and loading a model."""

from __future__ import annotations

import threading

import pytest

from appliance.errors import EngineUnavailableError
from appliance.web import current
from appliance.web.background import Background
from appliance.web.pages import models as pages
from tests.simulators.clinic import Clinic
from tests.web.ward import NEW, OLD, Ward, ended, page


def background(clinic: Clinic) -> Background:
    gateway: current.Gateway = clinic.app.extensions[current.EXTENSION]
    return gateway.background


def test_an_evaluation_goes_on_after_its_page_was_answered(ward: Ward) -> None:
    """Asked for by the steward, run in a real engine, then shown with its own date and count."""
    clinic, browser = ward.clinic, ward.clinic.browser("steward")
    assert browser.submit(f"{NEW}/evaluate", page=NEW).status_code == 303
    task = background(clinic).get(f"evaluate {ward.new.id}")
    assert task is not None
    assert task.wait(120)
    assert task.error is None
    assert ended(clinic, "model.evaluate") == "success"
    assert "The one prompt passed" in page(browser, NEW)


def test_the_page_says_how_far_an_evaluation_is(ward: Ward) -> None:
    """Prompts done and in all, and a link to look again; asking again joins the running one."""
    clinic, browser, go = ward.clinic, ward.clinic.browser("steward"), threading.Event()
    task = background(clinic).start(f"evaluate {ward.new.id}", lambda _: go.wait())
    task.report(3, 9)
    shown = page(browser, NEW)
    assert "Being evaluated: 3 of 9 prompts" in shown
    assert "Evaluate again" not in shown
    assert browser.submit(f"{NEW}/evaluate", {"once": "another-tab"}, page=NEW).status_code == 303
    assert background(clinic).get(f"evaluate {ward.new.id}") is task
    go.set()
    assert task.wait(60)
    assert "Being evaluated" not in page(browser, NEW)


def test_loading_that_outlives_its_page_tells_how_it_ended(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says that loading goes on; when it fails, the next page says so, once."""
    monkeypatch.setattr(pages, "WAIT_S", 0.0)
    clinic, browser, go = ward.clinic, ward.clinic.browser("approver"), threading.Event()

    def fail(_: object) -> None:
        go.wait()
        raise EngineUnavailableError("the model did not load: out of memory")

    task = background(clinic).start(pages.SWITCHING, fail, "activate ward 2.0")
    assert browser.submit(f"{NEW}/activate", page=NEW).status_code == 303
    for path in ("/models", NEW):
        assert "is being loaded and checked" in page(browser, path)
    go.set()
    assert task.wait(60)
    assert "out of memory" not in page(ward.clinic.browser("clinician"), NEW)
    assert "out of memory" in page(browser, NEW)
    assert "out of memory" not in page(browser, NEW)


def test_a_switch_is_not_taken_for_another(ward: Ward) -> None:
    """While one activation runs, asking for another says that it was not done."""
    clinic, browser, go = ward.clinic, ward.clinic.browser("approver"), threading.Event()
    task = background(clinic).start(pages.SWITCHING, lambda _: go.wait(), "activate ward 2.0")
    for verb in ("activate", "rollback"):
        answer = browser.submit(f"{OLD}/{verb}", {"once": f"of-{verb}"}, page=OLD)
        assert answer.status_code == 409
        assert "nother activation is under way" in answer.get_data(as_text=True)
    go.set()
    assert task.wait(60)
    assert task.error is None


def test_a_fault_in_the_background_is_kept_and_names_nothing() -> None:
    """An unforeseen error becomes a plain sentence, and the key is free for another try."""
    work = Background()

    def fail(_: object) -> None:
        raise RuntimeError("a secret")

    task = work.start("a", fail)
    assert task.wait(60)
    assert task.error is not None
    assert "secret" not in task.error.message
    again = work.start("a", lambda _: None)
    assert again is not task
    assert again.wait(60)
    assert again.error is None
    work.forget("a")
    assert work.get("a") is None
