"""The page about threats names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs/explanation/model-supply-chain.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_test_that_the_page_names_exists() -> None:
    """Each threat on the page is watched by a test, and each row of a table names one."""
    text = PAGE.read_text()
    named = set(NAMED.findall(text))
    for path, name in named:
        assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
    tables = [line for line in text.splitlines() if line.startswith("| ")]
    watched = [line for line in tables if NAMED.search(line)]
    assert len(watched) > 50


def test_every_attack_on_the_importer_is_on_the_page() -> None:
    """The page speaks of every module of attacks."""
    text = PAGE.read_text()
    for path in Path(__file__).parent.glob("test_*.py"):
        assert path.name in text or path.name == "test_document.py", path.name
