"""The product in a real browser, through the edge; Chromium itself verifies the certificate."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, expect, sync_playwright

from tests.journeys.conftest import (
    CHROMIUM,
    FLAGS,
    PATIENCE_MS,
    ask,
    choose_password,
    sign_in,
    watch_answers,
)
from tests.simulators.docker_stack import ROOT, DockerStack
from tests.simulators.stack_visitor import entries

CERTUTIL = shutil.which("certutil") or "/usr/bin/certutil"
SHOTS = ROOT / "build" / "screenshots"
NEW = "a long enough new password"
LONG = "Tell me everything about this appliance."
Opener = Callable[[Path], Page]


def home(folder: Path, trusted: Path | None) -> Path:
    """Return a person's folder whose store of certificates (NSS) trusts this one, or none."""
    store = folder / ".pki" / "nssdb"
    store.mkdir(parents=True)
    _certutil(store, "-N", "--empty-password")
    if trusted is not None:
        _certutil(store, "-A", "-n", "the stack", "-t", "CP,,", "-i", str(trusted))
    return folder


def _certutil(store: Path, *words: str) -> None:
    subprocess.run([CERTUTIL, "-d", f"sql:{store}", *words], check=True, timeout=60)


@pytest.fixture
def opened(stack: DockerStack) -> Iterator[Opener]:
    """Return a function that opens a browser of a person with that home folder, at the edge."""
    with sync_playwright() as playwright:
        browsers = []

        def open_browser(at: Path) -> Page:
            environment: dict[str, str | float | bool] = {**os.environ, "HOME": str(at)}
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=FLAGS, env=environment
            )
            browsers.append(browser)
            context = browser.new_context(
                base_url=stack.address, viewport={"width": 1280, "height": 860}
            )
            context.set_default_timeout(PATIENCE_MS)
            return context.new_page()

        yield open_browser
        for browser in browsers:
            browser.close()


def test_a_browser_without_the_certificate_refuses(opened: Opener, tmp_path: Path) -> None:
    """So the one below has verified it: nothing here switches that off."""
    page = opened(home(tmp_path, trusted=None))
    with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
        page.goto("/")


def test_from_the_first_password_to_the_record(
    opened: Opener, stack: DockerStack, tmp_path: Path
) -> None:
    """Sign in, ask, watch the answer grow, keep its receipt; an auditor verifies the record."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page = opened(home(tmp_path, trusted=stack.certificate))
    lengths = watch_answers(page)
    sign_in(page, "demo", stack.passwords["demo"])
    ask(page, LONG)
    expect(page.locator("article.answer").last.locator("footer.about")).to_be_visible()
    assert len(lengths) > 3
    page.screenshot(path=SHOTS / "40-stack-answer.png")
    number = page.locator("footer.about").get_by_text("Record ").inner_text().split()[-1]
    page.get_by_role("link", name="Receipt").click()
    expect(page.get_by_role("heading", name=f"Receipt for entry {number}")).to_be_visible()
    assert page.url.startswith("https://")
    cookies = page.context.cookies()
    assert cookies
    assert all(cookie["secure"] and cookie["httpOnly"] for cookie in cookies)
    page.context.clear_cookies()

    _open_record(page, stack)
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("The record is whole.")).to_be_visible()
    page.screenshot(path=SHOTS / "41-stack-record.png")
    assert int(number) in {entry["seq"] for entry in entries(stack, "--action", "answer.complete")}


def _open_record(page: Page, stack: DockerStack) -> None:
    """Sign in as an auditor, choosing an own password, as everybody does the first time."""
    printed = stack.inside("gateway", "appliance", "user", "add", "rita", "--role", "auditor")
    first = next(word for word in printed.stdout.split() if word.count("-") == 3)
    sign_in(page, "rita", first)
    choose_password(page, first, NEW)
    sign_in(page, "rita", NEW)
    expect(page.get_by_role("heading", name="Record")).to_be_visible()
