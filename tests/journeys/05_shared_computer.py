"""A ward PC that many people use: what is closed stays closed, whatever the next person presses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.conftest import CHROMIUM, FLAGS, PATIENCE_MS, Shoot, ask, sign_in
from tests.simulators.stack import Stack

COOKIE = "appliance-session"


@pytest.fixture
def ward(browser: Browser, stack: Stack) -> Iterator[Page]:
    """A tab in a Chromium that keeps left pages in memory, as one on a ward does."""
    chromium = browser.browser_type.launch(
        executable_path=CHROMIUM,
        args=FLAGS,
        ignore_default_args=["--disable-back-forward-cache"],
    )
    context = chromium.new_context(base_url=stack.address)
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    chromium.close()


def test_back_after_signing_out_shows_nothing_of_the_chat(ward: Page, stack: Stack) -> None:
    """Pressing Back as often as one likes leads to the front door, never to a kept page."""
    sign_in(ward, "demo", stack.passwords["demo"])
    ask(ward, "Who are you?")
    expect(ward.locator("footer.about")).to_be_visible()
    chat = ward.url
    ward.get_by_role("link", name="Models").click()
    ward.get_by_role("button", name="Sign out").click()
    expect(ward.get_by_role("button", name="Sign in")).to_be_visible()
    for _ in range(3):
        ward.go_back()
        expect(ward.get_by_role("button", name="Sign in")).to_be_visible()
        expect(ward.locator(".prose")).to_have_count(0)
    assert ward.url != chat


def test_the_cookie_is_gone_and_worthless_after_signing_out(ward: Page, stack: Stack) -> None:
    """The browser keeps no session cookie, and a copy of the old one opens nothing."""
    sign_in(ward, "demo", stack.passwords["demo"])
    expect(ward.get_by_role("heading", name="New chat")).to_be_visible()
    kept = [cookie for cookie in ward.context.cookies() if cookie["name"] == COOKIE]
    assert kept[0]["httpOnly"]
    assert kept[0]["expires"] == -1
    ward.get_by_role("button", name="Sign out").click()
    expect(ward.get_by_role("button", name="Sign in")).to_be_visible()
    assert COOKIE not in {cookie["name"] for cookie in ward.context.cookies()}
    ward.context.add_cookies([{"name": COOKIE, "value": kept[0]["value"], "url": stack.address}])
    ward.goto("/history")
    expect(ward.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_first_password_opens_nothing_but_its_own_replacement(
    ward: Page, stack: Stack, shoot: Shoot
) -> None:
    """Whatever page is asked for, the person is led to choose a password of their own."""
    made = stack.run("user", "add", "fresh", "--role", "clinician").stdout
    password = next(word for word in made.split() if word.count("-") == 3)
    sign_in(ward, "fresh", password)
    for address in ("/", "/history", "/models", "/account", f"/c/cnv_{0:024}"):
        ward.goto(address)
        expect(ward.get_by_role("heading", name="Choose your own password")).to_be_visible()
    shoot(ward, "22-first-password")
    ward.get_by_role("button", name="Sign out instead").click()
    expect(ward.get_by_role("button", name="Sign in")).to_be_visible()
    ward.go_back()
    expect(ward.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_page_whose_session_is_gone_leads_to_the_front_door(ward: Page, stack: Stack) -> None:
    """The next click of whoever finds the page open shows the sign-in form and no chat."""
    sign_in(ward, "demo", stack.passwords["demo"])
    expect(ward.get_by_role("heading", name="New chat")).to_be_visible()
    ward.context.clear_cookies()
    ward.get_by_role("link", name="All chats").click()
    expect(ward.get_by_role("button", name="Sign in")).to_be_visible()
