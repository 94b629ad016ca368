"""Comfort: copying, tablets, zoom, dark wards, keyboards, and a screen nobody looks at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.journeys.conftest import PATIENCE_MS, Shoot, ask, sign_in
from tests.simulators.stack import Stack

QUESTION = "Who are you?"
PAGES = ("/", "/history", "/account", "/models")
# Texts and controls that every page or chat is made of, for the contrast of WCAG 2.1 (1.4.3).
TEXTS = (
    "h1", "h2", "p", "label", ".hint", ".muted", ".button", "button", ".history a", ".places a",
    ".me strong", ".me span", ".question", ".prose p", ".model", ".badge", ".about span",
    ".check", "input", "select", "textarea", "td", "th", "dt", "dd",
)  # fmt: skip
CONTRAST = """(selectors) => {
  const parse = (color) => {
    const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
    return color.startsWith("color(srgb") ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      layers.push(parse(getComputedStyle(at).backgroundColor));
    }
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const light = (color) => {
    const [r, g, b] = color.map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const selector of selectors) {
    for (const element of document.querySelectorAll(selector)) {
      if (!element.checkVisibility() || element.closest(".unseen") || element.disabled) continue;
      const under = ground(element);
      const ink = over(parse(getComputedStyle(element).color), under);
      const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
      found.push({ selector, text: element.textContent.trim().slice(0, 40), ratio: (a + 0.05) / (b + 0.05) });
    }
  }
  return found;
}"""
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


def test_copy_works_where_the_browser_keeps_its_clipboard_closed(chat: Page) -> None:
    """Without the clipboard's own interface (plain HTTP on a ward) the text is copied as well."""
    chat.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    chat.get_by_role("button", name="Copy").click()
    expect(chat.get_by_role("button", name="Copied")).to_be_visible()
    chat.get_by_label("Your question").focus()
    chat.keyboard.press("Control+V")
    expect(chat.get_by_label("Your question")).to_have_value(lambda_text("AI-generated"))


def lambda_text(part: str) -> Any:
    import re

    return re.compile(re.escape(part))


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
    chat.evaluate("() => document.activeElement.blur()")
    seen: list[str] = []
    for _ in range(25):
        chat.keyboard.press("Tab")
        width, name = chat.evaluate(
            """() => {
                const at = document.activeElement;
                const framed = at.closest('.box') && at.matches('textarea') ? at.closest('.box') : at;
                const style = getComputedStyle(framed);
                const drawn = style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth);
                return [drawn, at.tagName + ' ' + (at.textContent || at.name || '').trim().slice(0, 20)];
            }"""
        )
        if name.startswith("BODY"):
            break
        assert width >= 2, name
        seen.append(name)
        if len(seen) == 4:
            shoot(chat, "19-focus")
    assert len(seen) > 8


# --- structure


STRUCTURE = """() => {
  const visible = (e) => e.checkVisibility() && e.type !== "hidden";
  const named = (e) => e.labels?.length || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby");
  const headings = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")];
  const levels = headings.filter((e) => e.checkVisibility()).map((e) => Number(e.tagName[1]));
  const buttons = [...document.querySelectorAll("button, a[href], summary")];
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  const described = [...document.querySelectorAll("[aria-describedby], [aria-controls]")];
  return {
    unlabelled: [...document.querySelectorAll("input, select, textarea")].filter(visible)
      .filter((e) => !named(e)).map((e) => e.name),
    nameless: buttons.filter(visible)
      .filter((e) => !e.textContent.trim() && !e.getAttribute("aria-label")).map((e) => e.outerHTML),
    mains: document.querySelectorAll("main").length,
    h1: levels.filter((level) => level === 1).length,
    jumps: levels.filter((level, i) => level > (i ? levels[i - 1] : 0) + 1),
    live: document.querySelectorAll("[aria-live]").length,
    twice: ids.filter((id, i) => ids.indexOf(id) !== i),
    dangling: described.flatMap((e) => [e.getAttribute("aria-describedby"), e.getAttribute("aria-controls")])
      .filter((id) => id && !document.getElementById(id)),
    pictures: [...document.querySelectorAll("img:not([alt])")].length,
    headless: [...document.querySelectorAll("table")].filter((e) => !e.querySelector("th")).length,
    unlabelledNavs: [...document.querySelectorAll("nav:not([aria-label])")].length,
    outside: [...document.querySelectorAll("body > *:not(script)")]
      .filter((e) => visible(e) && !e.matches("main, .frame, .skip, [role], [aria-live]")).map((e) => e.outerHTML),
    language: document.documentElement.lang,
    title: document.title,
  };
}"""
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
    shoot(still, "20-countdown")
    still.clock.run_for(60_000)
    expect(still.get_by_text("You were signed out because nothing was done")).to_be_visible()
    shoot(still, "21-signed-out")
    still.go_back()
    expect(still.get_by_role("button", name="Sign in")).to_be_visible()


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
