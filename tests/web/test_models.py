"""The second person's part in the browser: read everything, agree, activate, go back, retire."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from appliance.bundles.evaluations.results import EvaluationInfo
from appliance.bundles.inventory import active_first
from appliance.bundles.store import ModelRow
from appliance.errors import EngineUnavailableError
from appliance.identity.roles import Role
from appliance.inference.engine import EngineIncident
from appliance.web import current
from appliance.web.background import Background
from appliance.web.pages import models as pages
from tests.simulators.clinic import Browser, Clinic
from tests.simulators.evaluated import CONDITIONS, mark_evaluated
from tests.web.ward import CHANGED, Ward

NEW, OLD = "/models/ward/2.0", "/models/ward/1.0"
LARGEST_PAGE = 150_000


@pytest.fixture(scope="module")
def reading() -> Iterator[Ward]:
    """A ward whose models no test changes."""
    ward = Ward()
    yield ward
    ward.close()


@pytest.fixture
def ward() -> Iterator[Ward]:
    """A ward of one test's own."""
    own = Ward()
    yield own
    own.close()


def page(browser: Browser, path: str) -> str:
    return browser.get(path).get_data(as_text=True)


def background(clinic: Clinic) -> Background:
    gateway: current.Gateway = clinic.app.extensions[current.EXTENSION]
    return gateway.background


def ended(clinic: Clinic, action: str) -> str:
    """Return how the newest event of an action ended."""
    return str(clinic.record(action=action)[0]["outcome"])


def evaluation_shown(browser: Browser) -> str:
    """Return the id of the evaluation that the form for approving carries."""
    return page(browser, NEW).partition('name="evaluation" value="')[2].partition('"')[0]


# --- reading


def test_what_waits_stands_at_the_top(reading: Ward) -> None:
    """An approver meets the new version first and is led to its details."""
    shown = page(reading.clinic.browser("approver"), "/models")
    assert shown.index("Waiting for your agreement") < shown.index("Answers at present")
    assert f'href="{NEW}"' in shown
    assert "2 of 5 failed" in shown


def test_the_details_hold_what_an_approver_must_know(reading: Ward) -> None:
    """Signers and threshold, epoch, digests, licence, limits, hardware floor, evaluation."""
    shown = page(reading.clinic.browser("approver"), NEW)
    for words in (
        *reading.new.signers, reading.new.digest, reading.new.oms_key_sha256,
        "3 of at least 2 needed",
        "2, +1 against ward 1.0", "Apache-2.0", "Invents doses when asked for them.", "GPU memory",
        "6,973 MiB", "2 of 5 failed", "all 5 prompts passed", "prompt-0", "contains: it lacks",
    ):  # fmt: skip
        assert words in shown, words


def test_the_template_is_compared_line_by_line_with_the_active_one(reading: Ward) -> None:
    """The changed line stands there twice, and a character that would hide shows itself."""
    shown = page(reading.clinic.browser("approver"), NEW)
    assert "1 line added, 1 removed" in shown
    assert r"{# kept\xa0short #}" in shown
    assert "\u00a0" not in shown


def test_the_whole_template_comes_as_a_file(reading: Ward) -> None:
    """What a page cuts short can be read in full, as a file that no browser runs."""
    response = reading.clinic.browser("approver").get(f"{NEW}/template.txt")
    assert response.get_data(as_text=True) == CHANGED
    assert response.headers["Content-Disposition"].startswith("attachment")
    assert response.mimetype == "text/plain"


def test_a_publishers_words_are_inert(reading: Ward) -> None:
    """Markup in a card is text, and no page about models has inline scripts or styles."""
    for path in ("/models", NEW):
        shown = page(reading.clinic.browser("approver"), path)
        assert "<script>alert" not in shown
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
        assert " style=" not in shown
        assert shown.count("<script") == shown.count('<script type="module" src=')


def test_a_clinician_reads_without_answers_or_buttons(reading: Ward) -> None:
    """How many prompts failed is for everyone; single answers and decisions are not."""
    shown = page(reading.clinic.browser("clinician"), NEW)
    assert "2 of 5 failed" in shown
    for words in ("prompt-0", "Prompt by prompt", "<h2>Decide", "Evaluate again", "Validation"):
        assert words not in shown


@pytest.mark.parametrize(("form", "begins"), [("json", "{"), ("md", "#")])
def test_an_auditor_downloads_the_validation_record(reading: Ward, form: str, begins: str) -> None:
    """Both forms come as files, and that they were made is recorded."""
    response = reading.clinic.browser("auditor").get(f"{NEW}/validation.{form}")
    assert response.headers["Content-Disposition"].endswith(f'ward-2.0.validation.{form}"')
    assert response.get_data(as_text=True).startswith(begins)
    assert ended(reading.clinic, "model.validation") == "success"


def test_a_version_that_does_not_exist_is_no_page(reading: Ward) -> None:
    """An address with a made-up version answers 404, also for a form."""
    browser = reading.clinic.browser("approver")
    assert browser.get("/models/ward/9.9").status_code == 404
    assert browser.submit("/models/ward/9.9/activate").status_code == 404


def test_the_largest_details_stay_small(ward: Ward) -> None:
    """A full card, a template that changed in every line and 500 failures fit one page."""
    appliance = ward.clinic.appliance
    card = 'name = "ward"\nversion = "{version}"\nlicence = "Apache-2.0"\n'
    card += f'intended_use = "{"x" * 60_000}"\n'
    template = "\n".join(f"{{# line {n} {'y' * 300} #}}" for n in range(700))
    large = ward.bring("3.0", template, epoch=2, card=card)
    done = mark_evaluated(appliance, large, failed=1)
    mark_evaluated(appliance, ward.old, passed=500, prompts=large.files["eval"])
    results = tuple(
        replace(done.results[0], id=f"prompt-{n}", answer="z" * 5_000, why="w" * 500)
        for n in range(500)
    )
    run = EvaluationInfo(
        **{**vars(done), "id": f"evl_{0:024}", "state": "running", "finished": None}
    )
    appliance.evaluations.start(run)
    appliance.evaluations.finish(run.id, CONDITIONS, results, appliance.clock.now() + 1)
    shown = ward.clinic.browser("approver").get("/models/ward/3.0").data
    assert b"500 of 500 failed" in shown
    assert b"Only the beginning is shown" in shown
    assert len(shown) < LARGEST_PAGE


# --- deciding


def test_failures_are_accepted_knowingly_or_not_at_all(ward: Ward) -> None:
    """Without the tick the page explains; with it the approval and the number are recorded."""
    browser = ward.clinic.browser("approver")
    shown = page(browser, NEW)
    assert "I have read the 2 prompts that failed" in shown
    fields = {"roles": "clinician", "evaluation": evaluation_shown(browser)}
    refused = browser.submit(f"{NEW}/approve", fields, page=NEW)
    assert refused.status_code == 409
    assert "2 of 5 prompts did not pass" in refused.get_data(as_text=True)
    assert ward.state("2.0") == "evaluated"
    fields["accept_failed"] = "2"
    assert browser.submit(f"{NEW}/approve", fields, page=NEW).status_code == 303
    done = ward.clinic.record(action="model.approve")[0]["content"]
    assert (done["accepted_failed"], done["roles"]) == (2, ["clinician"])
    assert "Activate ward 2.0" in page(browser, NEW)


def test_approving_for_nobody_is_refused_on_the_same_page(ward: Ward) -> None:
    """A model that no role may use is not approved, and the page says what to choose."""
    response = ward.clinic.browser("approver").submit(
        f"{NEW}/approve", {"accept_failed": "2"}, page=NEW
    )
    assert response.status_code == 400
    assert "Choose roles among" in response.get_data(as_text=True)


def test_who_brought_it_in_is_told_to_ask_a_colleague(ward: Ward) -> None:
    """The page has no form for them, and a forged one is refused and recorded."""
    ward.clinic.person("test", Role.APPROVER)
    browser = ward.clinic.browser("test")
    assert "You brought this model in" in page(browser, NEW)
    response = browser.submit(
        f"{NEW}/approve", {"roles": "clinician", "accept_failed": "2"}, page=NEW
    )
    assert response.status_code == 403
    assert "Whoever imported a model cannot approve it" in response.get_data(as_text=True)
    assert ended(ward.clinic, "model.approve") == "refused"


def test_pressed_twice_and_in_two_tabs_it_happens_once(ward: Ward) -> None:
    """The same form again shows the result again; another tab gets a plain sentence."""
    browser = ward.clinic.browser("approver")
    fields = {
        "roles": "clinician", "accept_failed": "2", "once": "one-form",
        "evaluation": evaluation_shown(browser),
    }  # fmt: skip
    for _ in range(2):
        assert browser.submit(f"{NEW}/approve", fields, page=NEW).status_code == 303
    again = browser.submit(f"{NEW}/approve", {**fields, "once": "another-tab"}, page=NEW)
    assert again.status_code == 409
    assert "Model ward 2.0 was approved before" in again.get_data(as_text=True)
    outcomes = [entry["outcome"] for entry in ward.clinic.record(action="model.approve")]
    assert outcomes.count("success") == 2  # version 1.0, and this once


def test_activating_and_going_back_take_one_button_each(ward: Ward) -> None:
    """The active model names what it goes back to; a second press does not go forward again."""
    clinic, browser = ward.clinic, ward.clinic.browser("approver")
    with clinic.appliance.databases[0].session() as session:
        session.execute(sa.update(ModelRow).values(security_epoch=1))
    clinic.operations.models.approve(clinic.actor("approver"), "ward", "2.0", accept_failed=2)
    assert browser.submit(f"{NEW}/activate", page=NEW).status_code == 303
    assert (ward.state("2.0"), ward.state("1.0")) == ("active", "approved")
    for path in ("/models", NEW):
        assert "Go back to ward 1.0" in page(browser, path)
    assert browser.submit(f"{NEW}/rollback", page=NEW).status_code == 303
    assert (ward.state("2.0"), ward.state("1.0")) == ("approved", "active")
    again = browser.submit(f"{NEW}/rollback", {"once": "another-tab"}, page=NEW)
    assert again.status_code == 409
    assert "does not answer any more" in again.get_data(as_text=True)
    assert ward.state("1.0") == "active"
    assert ended(clinic, "model.rollback") == "success"


def test_a_raised_security_epoch_leaves_no_way_back(ward: Ward) -> None:
    """No button offers a version that its publisher asks nobody to go back to."""
    clinic, browser = ward.clinic, ward.clinic.browser("approver")
    assert "does not answer again once this is agreed to" in page(browser, NEW)
    clinic.operations.models.approve(clinic.actor("approver"), "ward", "2.0", accept_failed=2)
    assert browser.submit(f"{NEW}/activate", page=NEW).status_code == 303
    assert "Go back to ward 1.0" not in page(browser, NEW)


def test_pins_and_retiring_are_decided_with_a_reason(ward: Ward) -> None:
    """A pin shows itself and holds; a retired version has nothing left to decide."""
    clinic, browser = ward.clinic, ward.clinic.browser("approver")
    assert browser.submit(f"{OLD}/pin", {"reason": "x"}, page=OLD).status_code == 400
    assert browser.submit(f"{OLD}/pin", {"reason": "study 1/26"}, page=OLD).status_code == 303
    assert "study 1/26" in page(browser, OLD)
    clinic.operations.models.approve(clinic.actor("approver"), "ward", "2.0", accept_failed=2)
    assert "cannot be activated until it is unpinned" in page(browser, NEW)
    assert browser.submit(f"{NEW}/activate", {"once": "a"}, page=NEW).status_code == 409
    assert browser.submit(f"{OLD}/retire", {"reason": "unused"}, page=OLD).status_code == 409
    assert browser.submit(f"{OLD}/unpin", page=OLD).status_code == 303
    fields = {"reason": "withdrawn by us", "delete_weights": "yes"}
    assert browser.submit(f"{NEW}/retire", fields, page=NEW).status_code == 303
    shown = page(browser, NEW)
    assert "There is nothing to decide: it is retired." in shown
    assert "the weights are not on this machine any more" in shown
    for action in ("model.pin", "model.unpin", "model.retire"):
        assert ended(clinic, action) == "success", action


def test_a_quarantined_model_says_why(ward: Ward) -> None:
    """The reason stands on both pages, in the colour of a warning, and no button is left."""
    ward.clinic.appliance.library.quarantine(ward.new.id, "denied by its publisher: leaks names")
    browser = ward.clinic.browser("approver")
    for path in ("/models", NEW):
        assert "enied by its publisher: leaks names" in page(browser, path)
    assert "No engine loads it" in page(browser, NEW)
    assert f"{NEW}/approve" not in page(browser, NEW)


# --- what takes long


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


@pytest.mark.parametrize("given", [{}, {"evaluation": ""}, {"evaluation": "evl_" + "0" * 24}])
def test_nobody_approves_without_the_evaluation_that_they_saw(
    ward: Ward, given: dict[str, str]
) -> None:
    """A form that leaves it out, or names another, approves nothing."""
    fields = {"roles": "clinician", "accept_failed": "2", **given}
    answer = ward.clinic.browser("approver").submit(f"{NEW}/approve", fields, page=NEW)
    assert answer.status_code == 409
    assert ward.state("2.0") == "evaluated"


@pytest.mark.parametrize("number", ["9" * 5_000, "-1", "\u0662", "2.0", " 2", ""])
def test_a_strange_number_of_accepted_failures_approves_nothing(ward: Ward, number: str) -> None:
    """Whatever stands in the field, the page comes back and says why."""
    browser = ward.clinic.browser("approver")
    evaluation = evaluation_shown(browser)
    fields = {"roles": "clinician", "accept_failed": number, "evaluation": evaluation}
    assert browser.submit(f"{NEW}/approve", fields, page=NEW).status_code == 409
    assert ward.state("2.0") == "evaluated"


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


def test_a_second_model_is_activated_and_released_with_a_button_each(ward: Ward) -> None:
    """It answers by its name, the page says so, and the chat offers a choice while there is one."""
    library = ward.clinic.appliance.library
    ward.clinic.bring_model("other", "1.0")
    library.set_active(ward.old.id)
    browser, place = ward.clinic.browser("approver"), "/models/other/1.0"
    assert "Activate it beside ward 1.0" in page(browser, place)
    asker = ward.clinic.browser("clinician")
    assert '<select name="model">' not in page(asker, "/")
    sent = browser.submit(f"{place}/activate", {"beside": "yes"}, page=place)
    assert sent.status_code == 303
    assert [model.name for model in active_first(library.models())][:2] == ["ward", "other"]
    assert "Answers by its name" in page(browser, "/models")
    chooser = page(asker, "/").split('<select name="model">')[1].split("</select>")[0]
    assert chooser.index("ward 1.0") < chooser.index("other 1.0")
    assert browser.submit(f"{place}/release", page=place).status_code == 303
    assert library.by_name("other").state == "approved"
    assert library.by_name("ward", "1.0").state == "active"


def test_the_last_restart_of_a_model_is_said_in_plain_words(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long ago, and why; on the list and among the details."""
    clinic = ward.clinic
    at = clinic.appliance.clock.now() - 200
    told = EngineIncident("inc_1", "restarted", ward.old.digest, "it stopped answering", at)
    incidents = clinic.operations.incidents
    monkeypatch.setattr(type(incidents), "latest", lambda _: {ward.old.digest: told})
    browser = ward.clinic.browser("approver")
    for address in ("/models", OLD):
        assert "Restarted 3 minutes ago: it stopped answering" in page(browser, address)
