"""Stop, reload in the middle, two tabs, a button pressed twice."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page, expect

from tests.journeys.conftest import Shoot, ask, sign_in
from tests.simulators.stack import Stack

LONG = "Tell me everything about this appliance."


def test_stop_keeps_what_was_written(page: Page, stack: Stack, shoot: Shoot) -> None:
    """Stop stands where Send was; the text so far is kept, marked, and recorded as stopped."""
    sign_in(page, "demo", stack.passwords["demo"])
    with stack.slowly("model"):
        ask(page, LONG)
        page.get_by_role("button", name="Stop Esc").wait_for()
        expect(page.locator("article.answer .prose").last).not_to_be_empty()
        shoot(page, "06-streaming")
        page.get_by_role("button", name="Stop Esc").click()
    answer = page.locator("article.answer").last
    expect(answer.get_by_text("Stopped", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    shoot(page, "07-stopped")
    entity = answer.get_attribute("id")
    ends = [entry["action"] for entry in stack.record() if entry["entity"] == entity]
    assert ends == ["answer.request", "answer.stop"]


def test_escape_stops_too(page: Page, stack: Stack) -> None:
    """Esc does what the button does."""
    sign_in(page, "demo", stack.passwords["demo"])
    with stack.slowly("model"):
        ask(page, LONG)
        page.get_by_role("button", name="Stop Esc").wait_for()
        page.keyboard.press("Escape")
    expect(page.locator("article.answer").get_by_text("Stopped", exact=True)).to_be_visible()


def test_a_reload_in_the_middle_finds_the_answer_again(page: Page, stack: Stack) -> None:
    """The reloaded page shows the running answer and then the finished one, asked only once."""
    sign_in(page, "demo", stack.passwords["demo"])
    ask(page, "Who are you?")
    expect(page.locator("footer.about")).to_be_visible()
    page.get_by_role("navigation", name="Chats").get_by_role("link").first.click()
    with stack.slowly("model"):
        ask(page, LONG)
        expect(page.locator("article.answer")).to_have_count(2)
        page.get_by_role("button", name="Stop Esc").wait_for()
        page.reload()
        expect(page.locator("article.answer")).to_have_count(2)
    expect(page.locator("article.answer").last.locator("footer.about")).to_be_visible()
    entity = page.locator("article.answer").last.get_attribute("id")
    ends = [entry["action"] for entry in stack.record() if entry["entity"] == entity]
    assert ends == ["answer.request", "answer.complete"]


def test_two_tabs_watch_one_answer(page: Page, context: BrowserContext, stack: Stack) -> None:
    """Both tabs end with the same text."""
    sign_in(page, "demo", stack.passwords["demo"])
    ask(page, "Who are you?")
    expect(page.locator("footer.about")).to_be_visible()
    page.get_by_role("navigation", name="Chats").get_by_role("link").first.click()
    page.wait_for_url("**/c/*")
    other = context.new_page()
    with stack.slowly("model"):
        ask(page, "Who can read my question?")
        expect(page.locator("article.answer")).to_have_count(2)
        other.goto(page.url)
        expect(other.locator("article.answer")).to_have_count(2)
    for tab in (page, other):
        expect(tab.locator("article.answer").last.locator("footer.about")).to_be_visible()
    first, second = (
        tab.locator("article.answer").last.locator(".prose").inner_text() for tab in (page, other)
    )
    assert first == second != ""


def test_send_pressed_twice_asks_once(page: Page, stack: Stack) -> None:
    """A double click on Send is one question."""
    sign_in(page, "demo", stack.passwords["demo"])
    before = sum(entry["action"] == "answer.request" for entry in stack.record())
    page.locator("form#composer[data-ready]").wait_for()
    page.get_by_label("Your question").fill("Who are you?")
    page.get_by_role("button", name="Send").dblclick()
    expect(page.locator("footer.about").last).to_be_visible()
    after = sum(entry["action"] == "answer.request" for entry in stack.record())
    assert after == before + 1
