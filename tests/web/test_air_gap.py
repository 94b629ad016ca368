"""A way out that was found is said on every page, to whoever has signed in."""

from __future__ import annotations

from appliance.airgap.judging import Line
from appliance.airgap.report import Report
from appliance.airgap.stack import Role
from appliance.cli.actor import console_actor
from tests.simulators.clinic import Clinic

T = "2026-11-21T09:30:00.000Z"
OPEN = Line("tcp 9.9.9.9:443", "fail", "connected", "no answer", "take it off that network")
CLOSED = Line("tcp 9.9.9.9:443", "ok", "no route", "no answer")
WARNING = "A way out of this appliance was found"


def test_a_way_out_is_said_until_it_is_closed(clinic: Clinic) -> None:
    """With whom to call, and to nobody who has not signed in."""
    verbs, browser = clinic.operations.airgap, clinic.browser("clinician")
    assert WARNING not in browser.get("/").text
    verbs.take(console_actor(), Report(Role.ENGINE, T, (OPEN,)))
    assert WARNING in browser.get("/").text
    assert WARNING not in clinic.app.test_client().get("/sign-in").text
    verbs.take(console_actor(), Report(Role.ENGINE, T, (CLOSED,)))
    assert WARNING not in browser.get("/").text
