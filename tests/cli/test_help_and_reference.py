"""What a new user reads: help with an example everywhere, and reference pages that are true."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.main import run
from tests.cli.tree import leaves, walk

GENERATOR = Path(__file__).resolve().parents[2] / "docs" / "reference" / "generate.py"
PAGES: dict[Path, str] = runpy.run_path(str(GENERATOR))["pages"]()


@pytest.mark.parametrize("path", leaves(), ids=" ".join)
def test_every_command_has_help_with_an_example(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """`--help` explains each command and shows how it is typed."""
    assert run([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"{' '.join(path)}" in text.split("Example", 1)[1]


@pytest.mark.parametrize("path", leaves(), ids=" ".join)
def test_every_command_takes_the_state_folder(path: tuple[str, ...]) -> None:
    """`--state` may stand after any command too."""
    commands: dict[tuple[str, ...], Any] = dict(walk())
    assert "state" in {parameter.name for parameter in commands[path].params}


def test_every_option_says_what_it_is_for() -> None:
    """No option appears in help without words."""
    silent = [
        (path, parameter.name)
        for path, command in walk()
        for parameter in command.params
        if parameter.param_type_name == "option" and not getattr(parameter, "help", None)
    ]
    assert silent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_reference_page_is_what_the_program_says(page: Path) -> None:
    """A reference page that fell behind the program fails here: run docs/reference/generate.py."""
    assert page.read_text(encoding="utf-8") == PAGES[page]


def test_help_needs_no_state_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Help works on a machine where nothing has been made yet."""
    assert run(["--state", "/nowhere/at/all", "--help"]) == 0
    assert "init" in capsys.readouterr().out
