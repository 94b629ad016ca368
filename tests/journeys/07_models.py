"""A steward brings a model in at the machine; a colleague agrees and decides in a browser."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.conftest import PATIENCE_MS, Shoot, ask, choose_password, sign_in, sound
from tests.simulators.bundle_forge import BundleForge, two_of_three
from tests.simulators.stack import ROOT, Stack

SHOTS = ROOT / "build/screenshots"
NEW = "a long enough new password"
# Loading and hashing happen in processes of their own, on a machine that may be busy.
LOADING_MS = 60_000
CARD = """name = "ward"
version = "1.0"
licence = "Apache-2.0"
intended_use = "Drafting discharge letters that a physician reads before use."
training_data = "Random numbers: this model exists for this journey."
known_limits = ["Writes nothing that makes sense.", "English only."]

[hardware_floor]
gpu_gb = 8
memory_mib = 6973
"""
PROMPTS = """{"id": "answers", "prompt": "How are you?", "max_tokens": 8, \
"expect": {"max_characters": 2000}, "why": "it answers at all"}
{"id": "knows-paracetamol", "prompt": "Name a common painkiller.", "max_tokens": 8, \
"expect": {"contains": ["paracetamol"]}, "required": true, "why": "a ward asks this every day"}
"""


@pytest.fixture(scope="module")
def brought_in(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Import a bundle as its steward does, with two commands; return the approver's passwords."""
    forge = BundleForge(tmp_path_factory.mktemp("desk"), two_of_three())
    source = forge.add_model("ward", "1.0", seed=5)
    source.card.write_text(CARD)
    source.prompts.write_text(PROMPTS)
    expires = datetime.now(tz=UTC).replace(microsecond=0) + timedelta(days=30)
    bundle = forge.good(expires=expires)
    root = bundle / "metadata/1.root.json"
    fingerprint = hashlib.sha256(root.read_bytes()).hexdigest()
    stack.run("trust", "add", "acme", str(root), "--fingerprint", fingerprint)
    imported = stack.run("bundle", "import", str(bundle))
    assert "ward 1.0 is in the library (evaluated)" in imported.stdout
    printed = stack.run("user", "add", "petra", "--role", "approver").stdout
    return {"petra": next(word for word in printed.split() if word.count("-") == 3)}


def enter(page: Page, people: dict[str, str]) -> None:
    """Sign in as the approver, choosing an own password the first time; open the models."""
    first = people["petra"]
    sign_in(page, "petra", first)
    if first != NEW:
        choose_password(page, first, NEW)
        people["petra"] = NEW
        sign_in(page, "petra", NEW)
    page.wait_for_url(lambda address: "/sign-in" not in address)
    page.goto("/models")
    expect(page.get_by_role("heading", name="Models")).to_be_visible()


def answered_by(page: Page, stack: Stack, model: str, choose: str | None = None) -> None:
    """Ask as a clinician in another browser profile; the answer names this model.

    With `choose`, that one is chosen first; without it, there must be nothing to choose.
    """
    other = page.context.browser
    assert other is not None
    profile = other.new_context(base_url=stack.address)
    profile.set_default_timeout(PATIENCE_MS)
    tab = profile.new_page()
    sign_in(tab, "demo", stack.passwords["demo"])
    chooser = tab.get_by_label("Model")
    if choose is None:
        expect(chooser).to_have_count(0)
    else:
        chooser.select_option(label=choose)
        sound(tab)
        tab.screenshot(path=SHOTS / "47-model-chooser.png", full_page=True)
    ask(tab, "Who are you?")
    expect(tab.locator(".by .model").last).to_have_text(re.compile(model), timeout=LOADING_MS)
    expect(tab.locator("footer.about").last).to_be_visible(timeout=LOADING_MS)
    profile.close()


def test_a_colleague_reads_agrees_and_the_new_model_answers(
    page: Page, stack: Stack, brought_in: dict[str, str], shoot: Shoot
) -> None:
    """From what is new at the top to an answer of the new model, and one step back."""
    page.on("dialog", lambda dialog: dialog.accept())
    enter(page, brought_in)
    sound(page)
    page.screenshot(path=SHOTS / "40-models.png", full_page=True)
    page.get_by_role("link", name="Read and decide").click()
    expect(page.get_by_role("heading", name="ward 1.0")).to_be_visible()
    expect(page.get_by_text("3 of at least 2 needed")).to_be_visible()
    expect(page.get_by_text("Writes nothing that makes sense.", exact=True)).to_be_visible()
    expect(page.get_by_text("1 of 2 failed", exact=True)).to_be_visible()
    sound(page)
    page.screenshot(path=SHOTS / "41-model-to-decide.png", full_page=True)

    page.get_by_role("button", name="Approve ward 1.0").click()
    expect(page.get_by_role("button", name="Approve ward 1.0")).to_be_visible()
    page.get_by_label("I have read the 1 prompt that failed").check()
    page.get_by_role("button", name="Approve ward 1.0").click()
    page.get_by_role("button", name="Activate ward 1.0").click()
    expect(page.get_by_role("button", name="Go back to demo 1")).to_be_visible(timeout=LOADING_MS)
    sound(page)
    page.screenshot(path=SHOTS / "42-model-active.png", full_page=True)
    answered_by(page, stack, "ward 1.0")

    page.get_by_role("button", name="Go back to demo 1").click()
    expect(page.get_by_role("button", name="Activate ward 1.0")).to_be_visible(timeout=LOADING_MS)
    answered_by(page, stack, "demo 1")


def test_two_models_answer_side_by_side(
    page: Page, stack: Stack, brought_in: dict[str, str]
) -> None:
    """A second model answers who chooses it, beside the first, until it is let go."""
    page.on("dialog", lambda dialog: dialog.accept())
    enter(page, brought_in)
    page.get_by_role("link", name=re.compile("ward 1.0")).first.click()
    page.get_by_role("button", name="Activate it beside demo 1").click()
    expect(page.get_by_role("button", name="Let it answer no more")).to_be_visible(
        timeout=LOADING_MS
    )
    sound(page)
    page.screenshot(path=SHOTS / "46-model-beside.png", full_page=True)
    answered_by(page, stack, "ward 1.0", choose="ward 1.0")
    answered_by(page, stack, "demo 1", choose="demo 1 · DEMO")
    page.get_by_role("button", name="Let it answer no more").click()
    expect(page.get_by_role("button", name="Activate ward 1.0")).to_be_visible(timeout=LOADING_MS)
    answered_by(page, stack, "demo 1")


def test_pinned_unpinned_and_retired_by_keyboard(
    page: Page, stack: Stack, brought_in: dict[str, str]
) -> None:
    """Every form opens, is filled and sent without a mouse."""
    page.on("dialog", lambda dialog: dialog.accept())
    enter(page, brought_in)
    page.goto("/models/ward/1.0")
    page.get_by_text("Pin ward to this version").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("study 12/26")
    page.keyboard.press("Enter")
    expect(page.get_by_text("study 12/26")).to_be_visible()
    page.get_by_role("button", name="Unpin ward").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Retire this version").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("journey is over")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("There is nothing to decide: it is retired.")).to_be_visible()
    sound(page)
    page.screenshot(path=SHOTS / "43-model-retired.png", full_page=True)
    recorded = [(entry["action"], entry["outcome"]) for entry in stack.record()]
    for action in ("approve", "activate", "rollback", "pin", "unpin", "retire"):
        assert (f"model.{action}", "success") in recorded, action


def test_the_details_fit_a_phone_in_both_colours(
    browser: Browser, stack: Stack, brought_in: dict[str, str]
) -> None:
    """At 390 pixels, as at 200 % zoom, nothing is cut off and all of it can be read."""
    for scheme in ("light", "dark"):
        narrow = browser.new_context(
            base_url=stack.address, viewport={"width": 390, "height": 800}, color_scheme=scheme
        )
        narrow.set_default_timeout(PATIENCE_MS)
        page = narrow.new_page()
        enter(page, brought_in)
        for place in ("/models", "/models/ward/1.0", "/models/demo/1"):
            page.goto(place)
            sound(page)
        page.screenshot(path=SHOTS / f"44-model-narrow-{scheme}.png", full_page=True)
        narrow.close()
