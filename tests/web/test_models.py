"""What the pages about models show, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from appliance.bundles.evaluations.results import EvaluationInfo
from appliance.inference.engine import EngineIncident
from tests.simulators.evaluated import CONDITIONS, mark_evaluated
from tests.web.ward import CHANGED, NEW, OLD, Ward, ended, page

LARGEST_PAGE = 150_000


@pytest.fixture(scope="module")
def reading() -> Iterator[Ward]:
    """A ward whose models no test changes."""
    ward = Ward()
    yield ward
    ward.close()


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


def test_a_quarantined_model_says_why(ward: Ward) -> None:
    """The reason stands on both pages, in the colour of a warning, and no button is left."""
    ward.clinic.appliance.library.quarantine(ward.new.id, "denied by its publisher: leaks names")
    browser = ward.clinic.browser("approver")
    for path in ("/models", NEW):
        assert "enied by its publisher: leaks names" in page(browser, path)
    assert "No engine loads it" in page(browser, NEW)
    assert f"{NEW}/approve" not in page(browser, NEW)


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
