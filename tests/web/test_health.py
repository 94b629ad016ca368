"""Health says one word per part; metrics count things and name nobody."""

from __future__ import annotations

from tests.simulators.clinic import Browser, Clinic


def test_all_is_well_when_questions_can_be_answered(answering: Clinic) -> None:
    """With a ready engine and a readable record the answer is 200."""
    response = Browser(answering).get("/healthz")
    assert response.status_code == 200
    assert response.get_json() == {
        "status": "ok",
        "parts": {"gateway": "ok", "ledger": "ok", "engine": "ok"},
    }


def test_health_is_not_green_without_an_engine(clinic: Clinic) -> None:
    """With no engine the answer is 503 and names the part."""
    response = Browser(clinic).get("/healthz")
    assert response.status_code == 503
    assert response.get_json()["parts"] == {"gateway": "ok", "ledger": "ok", "engine": "degraded"}


def test_metrics_are_open_on_this_machine_and_name_nobody(answering: Clinic) -> None:
    """A collector on the machine itself reads counters without a person in them."""
    answering.browser("clinician")
    text = Browser(answering).get("/metrics").get_data(as_text=True)
    assert "appliance_sign_ins_total" in text
    assert "clinician" not in text


def test_metrics_are_closed_to_other_addresses(answering: Clinic) -> None:
    """From elsewhere metrics answer 403 without a person who may read them."""
    elsewhere = {"REMOTE_ADDR": "10.1.2.3"}
    response = Browser(answering).get("/metrics", environ_overrides=elsewhere)
    assert response.status_code == 403
    clinician = answering.browser("clinician")
    assert clinician.get("/metrics", environ_overrides=elsewhere).status_code == 403
    administrator = answering.browser("administrator")
    assert administrator.get("/metrics", environ_overrides=elsewhere).status_code == 200
