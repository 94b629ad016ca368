"""The second person's part in the browser: agree, activate, go back, pin, retire."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from appliance.bundles.inventory import active_first
from appliance.bundles.store import ModelRow
from appliance.identity.roles import Role
from tests.simulators.clinic import Browser
from tests.simulators.evaluated import mark_evaluated
from tests.web.ward import NEW, OLD, Ward, ended, page


def evaluation_shown(browser: Browser) -> str:
    """Return the id of the evaluation that the form for approving carries."""
    return page(browser, NEW).partition('name="evaluation" value="')[2].partition('"')[0]


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
    assert "Another model goes on answering." in page(browser, place)
    chooser = page(asker, "/").split('<select name="model">')[1].split("</select>")[0]
    assert chooser.index("ward 1.0") < chooser.index("other 1.0")
    assert browser.submit(f"{place}/release", page=place).status_code == 303
    assert library.by_name("other").state == "approved"
    assert library.by_name("ward", "1.0").state == "active"


def test_a_second_model_without_a_default_says_that_it_answers(ward: Ward) -> None:
    """When the default was taken out of use, nothing is told apart by name any more."""
    library = ward.clinic.appliance.library
    ward.clinic.bring_model("other", "1.0")
    library.set_active(ward.old.id)
    other = library.set_active(library.by_name("other").id, beside=True)
    mark_evaluated(ward.clinic.appliance, other, passed=5)
    library.quarantine(ward.old.id, "found bad")
    (asked,) = ward.clinic.operations.asking.models_for(ward.clinic.actor("clinician"))
    assert asked.name == "other"
    browser, place = ward.clinic.browser("approver"), "/models/other/1.0"
    for path in ("/models", place):
        assert "Answers at present</span>" in page(browser, path)
        assert "Answers by its name" not in page(browser, path)
    assert "No other model answers then." in page(browser, place)
    ward.clinic.operations.models.approve(
        ward.clinic.actor("approver"), "ward", "2.0", accept_failed=2
    )
    assert "Activate it beside" not in page(browser, NEW)


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
