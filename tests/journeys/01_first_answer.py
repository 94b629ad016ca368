"""A clinician signs in, asks, watches the answer arrive, and the record proves it."""

from __future__ import annotations

import json

from playwright.sync_api import Page, expect

from tests.journeys.conftest import Shoot, ask, sign_in, watch_answers
from tests.simulators.stack import Stack

NOTE = "Summarise this note: 54 y/o man with chest pain for 3 days. Pain 7/10."
LONG = "Tell me everything about this appliance."


def test_the_first_audited_answer(page: Page, stack: Stack, shoot: Shoot) -> None:
    """Sign in, ask, read the labels on the answer, find it in the record by its number."""
    page.goto("/")
    shoot(page, "01-sign-in")
    sign_in(page, "demo", stack.passwords["demo"])
    expect(page.get_by_role("heading", name="New chat")).to_be_visible()
    shoot(page, "02-new-chat")
    ask(page, NOTE)
    answer = page.locator("article.answer").last
    expect(answer.get_by_text("AI-generated, check before use")).to_be_visible()
    expect(answer.locator(".model")).to_contain_text("demo")
    expect(answer.get_by_text("DEMO", exact=True)).to_be_visible()
    text = answer.locator(".prose").inner_text()
    assert "54" in text
    shoot(page, "03-answer")

    number = int(answer.get_by_text("Record ").inner_text().split()[-1])
    entry = next(entry for entry in stack.record() if entry["seq"] == number)
    assert entry["action"] == "answer.complete"
    assert entry["entity"] == answer.get_attribute("id")
    assert text not in json.dumps(entry)
    assert "whole" in stack.run("audit", "verify").stdout


def test_tokens_are_seen_arriving(page: Page, stack: Stack, shoot: Shoot) -> None:
    """The answer grows on the page before it is complete."""
    lengths = watch_answers(page)
    sign_in(page, "demo", stack.passwords["demo"])
    ask(page, LONG)
    expect(page.locator("article.answer").last.locator("footer.about")).to_be_visible()
    shoot(page, "04-long-answer")
    assert len(lengths) > 3


def test_history_rename_and_archive(page: Page, stack: Stack, shoot: Shoot) -> None:
    """A conversation is found again by its name, and leaves the list when archived."""
    sign_in(page, "demo", stack.passwords["demo"])
    ask(page, "Who can read my question?")
    expect(page.locator("footer.about")).to_be_visible()
    page.reload()
    page.get_by_text("Rename").click()
    page.get_by_label("New name").fill("Quokka ward round")
    page.get_by_role("button", name="Save").click()
    chats = page.get_by_role("navigation", name="Chats")
    expect(chats.get_by_role("link", name="Quokka ward round")).to_be_visible()
    page.get_by_label("Search your chats").fill("quokka")
    page.get_by_label("Search your chats").press("Enter")
    expect(page.get_by_role("main").get_by_text("Quokka ward round")).to_be_visible()
    shoot(page, "05-history")
    page.get_by_role("main").get_by_text("Quokka ward round").click()
    page.get_by_role("button", name="Archive").click()
    page.goto("/")
    expect(chats.get_by_role("link", name="Quokka ward round")).to_have_count(0)


def test_signing_out_leaves_nothing_behind(page: Page, stack: Stack) -> None:
    """After signing out, Back and the old address lead to the front door."""
    sign_in(page, "demo", stack.passwords["demo"])
    ask(page, "Who are you?")
    expect(page.locator("footer.about")).to_be_visible()
    address = page.url
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.goto(address)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert page.evaluate("() => localStorage.length + sessionStorage.length") == 0
