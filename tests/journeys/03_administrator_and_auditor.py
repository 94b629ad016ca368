"""An administrator brings in a colleague; the auditor searches, verifies, and catches a change."""

from __future__ import annotations

import sqlite3

from playwright.sync_api import Page, expect

from tests.journeys.conftest import Shoot, choose_password, sign_in
from tests.simulators.stack import Stack

NEW = "a long enough new password"


def test_administrator_adds_an_auditor_who_verifies(page: Page, stack: Stack, shoot: Shoot) -> None:
    """The first password is shown once and must be changed; then the record opens."""
    sign_in(page, "admin", stack.passwords["admin"])
    page.get_by_role("link", name="People").click()
    page.get_by_label("Sign-in name").fill("ada")
    page.get_by_label("Full name").fill("Ada Audit")
    page.get_by_label("Role").select_option("auditor")
    page.get_by_role("button", name="Add").click()
    password = page.locator("code.secret").inner_text()
    shoot(page, "08-people")
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("main").get_by_text("DEMO").first).to_be_visible()
    shoot(page, "09-models")
    page.get_by_role("button", name="Sign out").click()

    sign_in(page, "ada", password)
    shoot(page, "10-first-password")
    choose_password(page, password, NEW)
    sign_in(page, "ada", NEW)
    page.get_by_role("link", name="Record").click()
    page.get_by_label("Action").select_option("user.add")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("summary .action").first).to_have_text("user.add")
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("The record is whole.")).to_be_visible()
    shoot(page, "11-record")
    assert page.goto("/people").status == 403
    shoot(page, "12-forbidden")


def test_wrong_passwords_lock_the_account(page: Page, stack: Stack, shoot: Shoot) -> None:
    """Five guesses, and the door stays shut with a clear word."""
    stack.run("user", "add", "guessed", "--role", "clinician")
    for _ in range(6):
        sign_in(page, "guessed", "not the password")
    expect(page.get_by_role("alert")).to_contain_text("too many failed attempts", ignore_case=True)
    shoot(page, "13-locked-out")


def test_one_flipped_byte_is_named_and_nothing_starts(own_stack: Stack) -> None:
    """`audit verify` names the entry with exit code 3, and the appliance refuses to start."""
    own_stack.stop()
    database = own_stack.state / "audit.db"
    with sqlite3.connect(database) as connection:
        seq, entry = connection.execute(
            "SELECT seq, entry FROM entries ORDER BY seq LIMIT 1 OFFSET 3"
        ).fetchone()
    connection.close()
    data = bytearray(database.read_bytes())
    place = data.index(bytes(entry)) + len(entry) // 2
    data[place] ^= 0x01
    database.write_bytes(bytes(data))

    verified = own_stack.run("audit", "verify", check=False)
    assert verified.returncode == 3
    assert f"entry {seq}" in verified.stdout + verified.stderr
    refused = own_stack.run("run", check=False)
    assert refused.returncode == 3
    assert f"entry {seq}" in refused.stderr


def test_the_whole_way_by_keyboard(page: Page, stack: Stack) -> None:
    """From the front door to a finished answer without a mouse."""
    page.goto("/")
    page.keyboard.type("demo")
    page.keyboard.press("Tab")
    page.keyboard.type(stack.passwords["demo"])
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.locator("form#composer[data-ready]").wait_for()
    page.keyboard.type("Who are you?")
    page.keyboard.press("Enter")
    expect(page.locator("footer.about")).to_be_visible()
