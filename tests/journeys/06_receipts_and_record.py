"""A clinician keeps a receipt; an auditor and a privacy officer find their way in the record."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from appliance.audit.proof import TlogProof
from tests.journeys.conftest import PATIENCE_MS, Shoot, ask, choose_password, sign_in, sound
from tests.simulators.stack import ROOT, Stack

SHOTS = ROOT / "build/screenshots"
NEW = "a long enough new password"


@pytest.fixture(scope="module")
def people(stack: Stack) -> dict[str, str]:
    """The passwords of an auditor and a privacy officer, who have chosen them."""
    made = {}
    for name, role in (("rita", "auditor"), ("paul", "privacy-officer")):
        printed = stack.run("user", "add", name, "--role", role).stdout
        made[name] = next(word for word in printed.split() if word.count("-") == 3)
    return made


def enter(page: Page, people: dict[str, str], name: str) -> None:
    """Sign in, choosing an own password the first time, and open the record."""
    sign_in(page, name, people[name])
    if people[name] != NEW:
        choose_password(page, people[name], NEW)
        people[name] = NEW
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        sign_in(page, name, NEW)
    expect(page.get_by_role("heading", name="Record")).to_be_visible()


def test_a_clinician_keeps_the_receipt_of_an_answer(
    page: Page, stack: Stack, shoot: Shoot, tmp_path: Path
) -> None:
    """From the answer to the receipt, its QR code and the file, by keyboard."""
    sign_in(page, "demo", stack.passwords["demo"])
    ask(page, "Who are you?")
    number = page.locator("footer.about").get_by_text("Record ").inner_text().split()[-1]
    shoot(page, "30-answer-with-receipt")
    page.get_by_role("link", name="Receipt").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=f"Receipt for entry {number}")).to_be_visible()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    sound(page)
    page.screenshot(path=SHOTS / "31-receipt.png", full_page=True)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the receipt").click()
    assert download.value.suggested_filename.endswith(".tlog-proof")
    download.value.save_as(tmp_path / "kept")
    assert TlogProof.parse((tmp_path / "kept").read_text()).seq == int(number)


def test_the_receipt_fits_a_tablet_and_a_phone(browser: Browser, stack: Stack) -> None:
    """At 390 pixels nothing is cut off, in either colour scheme."""
    for scheme in ("light", "dark"):
        narrow = browser.new_context(
            base_url=stack.address, viewport={"width": 390, "height": 800}, color_scheme=scheme
        )
        narrow.set_default_timeout(PATIENCE_MS)
        page = narrow.new_page()
        sign_in(page, "demo", stack.passwords["demo"])
        ask(page, "Who are you?")
        page.get_by_role("link", name="Receipt").click()
        expect(page.get_by_role("img", name="QR code")).to_be_visible()
        sound(page)
        page.screenshot(path=SHOTS / f"32-receipt-narrow-{scheme}.png", full_page=True)
        narrow.close()


def test_an_auditor_saves_a_search_and_proves_an_entry(
    page: Page, stack: Stack, people: dict[str, str], shoot: Shoot
) -> None:
    """Filter, save, come back to it, open an entry, see its proof; and how far proofs reach."""
    enter(page, people, "rita")
    page.get_by_label("Action").select_option("user.add")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("summary .action").first).to_have_text("user.add")
    page.get_by_text("Saved searches", exact=True).click()
    page.get_by_label("Save the present filters as").fill("New accounts")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Clear").click()
    page.get_by_role("link", name="New accounts").click()
    expect(page.get_by_label("Action")).to_have_value("user.add")
    sound(page)
    shoot(page, "33-saved-search")
    page.locator("details summary.entry").first.click()
    page.get_by_role("link", name="Receipt").click()
    expect(page.get_by_role("heading", name="Receipt for entry")).to_be_visible()
    page.go_back()
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("The record is whole.")).to_be_visible()
    sound(page)
    shoot(page, "34-how-far-proofs-reach")


def test_a_privacy_officer_says_why_before_reading(
    page: Page, stack: Stack, people: dict[str, str], shoot: Shoot
) -> None:
    """Nothing is shown before a purpose; afterwards the record says which one."""
    enter(page, people, "paul")
    expect(page.get_by_text("Nothing has been searched yet.")).to_be_visible()
    sound(page)
    shoot(page, "35-privacy-officer")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("summary.entry")).to_have_count(0)
    page.get_by_label("Purpose of reading").select_option("complaint")
    page.get_by_label("Case number").fill("K-17/2026")
    page.get_by_label("Search", exact=True).press("Enter")
    expect(page.locator("summary.entry").first).to_be_visible()
    sound(page)
    read = [entry for entry in stack.record() if entry["action"] == "record.read"]
    paul = [entry for entry in read if entry["agent"]["role"] == "privacy-officer"]
    assert [(entry["purpose"], entry["content"]["case"]) for entry in paul] == [
        ("complaint", "K-17/2026")
    ]


def test_the_record_works_without_scripts(
    browser: Browser, stack: Stack, people: dict[str, str]
) -> None:
    """Search, open an entry and get its proof in a browser that runs no script."""
    plain = browser.new_context(base_url=stack.address, java_script_enabled=False)
    plain.set_default_timeout(PATIENCE_MS)
    page = plain.new_page()
    enter(page, people, "rita")
    page.get_by_label("Role").select_option("clinician")
    page.get_by_role("button", name="Search", exact=True).click()
    page.locator("details summary.entry").first.click()
    page.get_by_role("link", name="Receipt").click()
    expect(page.get_by_role("heading", name="Receipt for entry")).to_be_visible()
    plain.close()
