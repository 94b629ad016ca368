"""Comfort: copying, tablets, zoom, dark wards, keyboards, and a screen nobody looks at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.journeys.conftest import PATIENCE_MS, Shoot, ask, sign_in
from tests.simulators.stack import Stack

SCRIPTS = Path(__file__).parent
QUESTION = "Who are you?"
PAGES = ("/", "/history", "/account", "/models")
# Texts and controls that every page or chat is made of, for the contrast of WCAG 2.1 (1.4.3).
TEXTS = (
    "h1", "h2", "p", "label", ".hint", ".muted", ".button", "button", ".history a", ".places a",
    ".me strong", ".me span", ".question", ".prose p", ".model", ".badge", ".about span",
    ".check", "input", "select", "textarea", "td", "th", "dt", "dd",
)  # fmt: skip
CONTRAST = (SCRIPTS / "contrast.js").read_text()
WIDER = """() => {
  const page = document.scrollingElement;
  return page.scrollWidth - page.clientWidth;
}"""


@pytest.fixture
def chat(page: Page, stack: Stack) -> Page:
    """A tab with one finished answer in it."""
    sign_in(page, "demo", stack.passwords["demo"])
    ask(page, QUESTION)
    expect(page.locator("footer.about")).to_be_visible()
    return page


def entries(stack: Stack, action: str, entity: str | None) -> list[dict[str, Any]]:
    """Return the entries of the record about this, oldest first."""
    return [e for e in stack.record() if e["action"] == action and e["entity"] == entity]


def too_faint(page: Page) -> list[dict[str, Any]]:
    """Return texts whose contrast is below 4.5:1."""
    return [item for item in page.evaluate(CONTRAST, list(TEXTS)) if item["ratio"] < 4.5]


# --- copying


def test_copy_takes_the_answer_and_where_it_comes_from(
    chat: Page, context: BrowserContext, shoot: Shoot
) -> None:
    """The clipboard holds the text, the notice, the model and the record number."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat.get_by_role("button", name="Copy").click()
    expect(chat.get_by_role("button", name="Copied")).to_be_visible()
    shoot(chat, "14-copied")
    copied = chat.evaluate("() => navigator.clipboard.readText()")
    number = chat.locator("footer.about").get_by_text("Record ").inner_text().split()[-1]
    assert chat.locator(".prose").inner_text().split()[0] in copied
    assert "AI-generated, check before use · demo" in copied
    assert f"record {number}" in copied
    expect(chat.get_by_role("button", name="Copy", exact=True)).to_be_visible()


def test_a_browser_that_forbids_copying_is_not_taken_for_one_that_copied(chat: Page) -> None:
    """When the clipboard refuses, the button says so, and a screen reader hears it."""
    chat.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    chat.get_by_role("button", name="Copy").click()
    expect(chat.get_by_role("button", name="Copying is not allowed here")).to_be_visible()
    expect(chat.locator("#announce")).to_have_text("Copying is not allowed here")


# --- a line that goes down


def test_an_answer_that_ended_while_the_line_was_down_is_fetched(chat: Page, stack: Stack) -> None:
    """The page catches up by itself, keeps the draft, and the record holds the reading."""
    chat.get_by_role("navigation", name="Chats").get_by_role("link").first.click()
    chat.wait_for_url("**/c/*")
    chat.route("**/events", lambda route: route.abort())
    ask(chat, QUESTION)
    expect(chat.locator("article.answer")).to_have_count(2)
    answer = chat.locator("article.answer").last
    entity = answer.get_attribute("id")
    expect(answer.get_by_text("Connection lost, trying again")).to_be_visible()
    chat.get_by_label("Your question").fill("a draft")
    while not (ends := entries(stack, "answer.complete", entity)):
        chat.wait_for_timeout(100)
    chat.unroute("**/events")
    expect(answer.locator("footer.about")).to_be_visible()
    expect(answer.locator(".prose")).not_to_be_empty()
    expect(chat.get_by_label("Your question")).to_have_value("a draft")
    reads = entries(stack, "conversation.read", chat.url.rsplit("/", 1)[-1])
    assert reads[-1]["seq"] > ends[0]["seq"]


# --- width and zoom


@pytest.mark.parametrize(("width", "height"), [(820, 1180), (640, 430), (390, 844), (320, 568)])
def test_no_page_is_wider_than_its_screen(
    chat: Page, shoot: Shoot, width: int, height: int
) -> None:
    """A tablet, 1280 px at 200 % and at 400 % zoom, a phone: nothing scrolls sideways."""
    chat.set_viewport_size({"width": width, "height": height})
    for address in (chat.url, *PAGES):
        chat.goto(address)
        assert chat.evaluate(WIDER) <= 0, f"{address} at {width} px"
        name = address.rsplit("/", 2)[-1] or "new"
        shoot(chat, f"15-{width}-{'chat' if name.startswith('cnv') else name}")


def test_on_a_tablet_the_menu_button_opens_the_chats(chat: Page, shoot: Shoot) -> None:
    """The list is a drawer: the button opens it with focus inside, Esc closes it."""
    chat.set_viewport_size({"width": 820, "height": 1180})
    chats = chat.get_by_role("navigation", name="Chats")
    expect(chats).to_be_hidden()
    menu = chat.get_by_role("button", name="Menu")
    menu.click()
    expect(chats).to_be_visible()
    expect(menu).to_have_attribute("aria-expanded", "true")
    shoot(chat, "16-drawer")
    assert chat.evaluate(
        "() => document.getElementById('sidebar').contains(document.activeElement)"
    )
    chat.keyboard.press("Escape")
    expect(chats).to_be_hidden()
    expect(menu).to_be_focused()


# --- colours and focus


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_enough(chat: Page, shoot: Shoot, scheme: Any) -> None:
    """4.5 to 1 for texts and controls on every page of a clinician, by day and by night."""
    chat.emulate_media(color_scheme=scheme)
    assert too_faint(chat) == []
    shoot(chat, f"17-{scheme}-chat")
    for address in PAGES:
        chat.goto(address)
        assert too_faint(chat) == [], address
        shoot(chat, f"17-{scheme}-{address.strip('/') or 'new'}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_front_door_has_contrast_enough(page: Page, shoot: Shoot, scheme: Any) -> None:
    """The sign-in page, with its refusal on it."""
    page.emulate_media(color_scheme=scheme)
    sign_in(page, "nobody-here", "not the password")
    expect(page.get_by_role("alert")).to_be_visible()
    assert too_faint(page) == []
    shoot(page, f"18-{scheme}-door")


def test_the_focus_can_be_seen_wherever_it_goes(chat: Page, shoot: Shoot) -> None:
    """Every stop of the Tab key shows a ring or a frame of at least 2 px."""
    chat.reload()
    chat.locator("form#composer[data-ready]").wait_for()
    chat.evaluate("() => document.querySelector('.skip').focus()")
    seen: list[str] = []
    for _ in range(25):
        chat.keyboard.press("Tab")
        width, name = chat.evaluate(FOCUSED)
        if name.startswith("BODY"):
            break
        assert width >= 2, name
        seen.append(name)
        if len(seen) == 4:
            shoot(chat, "19-focus")
    assert len(seen) > 8


# --- structure


FOCUSED = """() => {
  const at = document.activeElement;
  const framed = (at.matches("textarea") && at.closest(".box")) || at;
  const style = getComputedStyle(framed);
  const drawn = style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
  return [drawn, `${at.tagName} ${(at.textContent || at.name || "").trim().slice(0, 20)}`];
}"""
STRUCTURE = (SCRIPTS / "structure.js").read_text()
SOUND = {
    "unlabelled": [], "nameless": [], "mains": 1, "h1": 1, "jumps": [], "live": 1, "twice": [],
    "dangling": [], "pictures": 0, "headless": 0, "unlabelledNavs": 0, "outside": [],
    "language": "en",
}  # fmt: skip


def assert_sound(page: Page) -> None:
    found = page.evaluate(STRUCTURE)
    assert found.pop("title")
    assert found == SOUND, f"{page.url}: {json.dumps(found)}"


def test_a_clinicians_pages_are_built_for_screen_readers(chat: Page) -> None:
    """Every field has a label, headings do not jump, each page has one main part and one h1."""
    assert_sound(chat)
    for address in PAGES:
        chat.goto(address)
        assert_sound(chat)


def test_the_other_pages_are_built_for_screen_readers(page: Page, stack: Stack) -> None:
    """The same holds for the front door, people, keys, models and an error."""
    page.goto("/sign-in")
    assert_sound(page)
    sign_in(page, "admin", stack.passwords["admin"])
    for address in ("/people", "/keys", "/models", "/account", "/record", "/nowhere"):
        page.goto(address)
        assert_sound(page)


def test_a_finished_answer_is_announced(chat: Page) -> None:
    """A screen reader hears that the answer ended, and its text."""
    expect(chat.locator("#announce")).to_contain_text("Answer ended")


# --- a screen nobody looks at


@pytest.fixture
def still(browser: Browser, stack: Stack) -> Iterator[Page]:
    """A tab whose clock the test moves."""
    context = browser.new_context(base_url=stack.address)
    context.set_default_timeout(PATIENCE_MS)
    tab = context.new_page()
    tab.clock.install(time=datetime.now(UTC))
    yield tab
    context.close()


def test_an_idle_page_counts_down_and_leaves(still: Page, stack: Stack, shoot: Shoot) -> None:
    """A minute before the end a countdown shows; then the text is gone from the screen."""
    sign_in(still, "demo", stack.passwords["demo"])
    still.get_by_role("link", name="Models").click()
    expect(still.get_by_role("heading", name="Models")).to_be_visible()
    still.clock.run_for(9 * 60_000 + 10_000)
    leaving = still.locator("#leaving")
    expect(leaving).to_contain_text("Signing out in")
    said = still.locator("#announce").inner_text()
    assert said.startswith("Signing out soon")
    still.clock.run_for(3_000)
    assert still.locator("#announce").inner_text() == said
    shoot(still, "20-countdown")
    still.clock.run_for(60_000)
    expect(still.get_by_text("You were signed out because nothing was done")).to_be_visible()
    shoot(still, "21-signed-out")
    expect(still.get_by_role("heading", name="Models")).to_have_count(0)


def test_a_key_pressed_during_the_countdown_keeps_the_session(still: Page, stack: Stack) -> None:
    """Any key is enough: the page tells the server, and the countdown goes away."""
    sign_in(still, "demo", stack.passwords["demo"])
    still.locator("form#composer[data-ready]").wait_for()
    still.clock.run_for(9 * 60_000 + 10_000)
    expect(still.locator("#leaving")).to_be_visible()
    with still.expect_response("**/session") as told:
        still.keyboard.press("Shift")
        still.clock.run_for(2_000)
    assert told.value.status == 200
    still.clock.run_for(1_000)
    expect(still.locator("#leaving")).to_be_hidden()
