"""A real browser (Debian's Chromium) in front of a real appliance.

Screenshots of every journey go to build/screenshots/, for people to look at.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.simulators.stack import ROOT, Stack

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 20_000
HERE = Path(__file__).parent
# What has to be read, for the contrast of WCAG 2.1 (1.4.3).
TEXTS = (
    "h1", "h2", "h3", "p", "a", "button", "label", "legend", "summary", "dt", "dd", "code", "pre",
    "td", "th", "li", "input", "select", ".badge", ".muted", ".hint", ".entry span",
    ".notice strong",
)  # fmt: skip
# Reports the length of the newest answer's text whenever it changes.
WATCH = """new MutationObserver(() => {
    const prose = [...document.querySelectorAll('article.answer .prose')].pop();
    if (prose) window.grown(prose.textContent.length);
}).observe(document, {childList: true, subtree: true, characterData: true});"""
Shoot = Callable[[Page, str], None]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all journeys; each journey has a fresh profile in it."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser, stack: Stack) -> Iterator[BrowserContext]:
    """A fresh browser profile that fails the journey when a page asks for anything elsewhere."""
    profile = browser.new_context(base_url=stack.address, viewport={"width": 1280, "height": 860})
    profile.set_default_timeout(PATIENCE_MS)
    elsewhere: list[str] = []
    profile.on(
        "request",
        lambda request: (
            elsewhere.append(request.url)
            if not request.url.startswith((stack.address, "data:"))
            else None
        ),
    )
    yield profile
    profile.close()
    assert elsewhere == [], "a page asked for something outside the appliance"


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """One tab; an uncaught error in a script fails the journey."""
    tab = context.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    assert errors == []


@pytest.fixture(scope="session")
def shoot() -> Shoot:
    """Return a function that takes a screenshot by name."""
    folder = ROOT / "build/screenshots"
    folder.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str) -> None:
        page.screenshot(path=Path(folder) / f"{name}.png")

    return take


def sign_in(page: Page, name: str, password: str) -> None:
    """Go to the front door and sign in as a person would."""
    page.goto("/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def sound(page: Page) -> None:
    """Nothing is too pale to read, unnamed, or wider than the window."""
    page.wait_for_load_state()
    for found in page.evaluate((HERE / "contrast.js").read_text(), list(TEXTS)):
        assert found["ratio"] >= 4.5, found
    structure = page.evaluate((HERE / "structure.js").read_text())
    for name in ("unlabelled", "nameless", "jumps", "twice", "dangling", "outside"):
        assert structure[name] == [], f"{page.url}: {name} {structure[name]}"
    assert (structure["mains"], structure["h1"]) == (1, 1)
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wider) <= 0


def choose_password(page: Page, first: str, new: str) -> None:
    """Put an own password in the place of the first one, as the page asks for."""
    page.get_by_label("Present password").fill(first)
    page.get_by_label("New password", exact=True).fill(new)
    page.get_by_label("New password again").fill(new)
    page.get_by_role("button", name="Change").click()


def watch_answers(page: Page) -> set[int]:
    """Return the lengths that the newest answer's text has from now on, filled as it grows.

    To be called before the page is opened: a new chat moves to an address of its own meanwhile.
    """
    lengths: set[int] = set()
    page.expose_function("grown", lambda length: lengths.add(length))
    page.add_init_script(WATCH)
    return lengths


def ask(page: Page, question: str) -> None:
    """Type a question and press Enter, once the page's scripts listen."""
    page.locator("form#composer[data-ready]").wait_for()
    page.get_by_label("Your question").fill(question)
    page.get_by_label("Your question").press("Enter")
