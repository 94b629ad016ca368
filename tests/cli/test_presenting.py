"""How values look, and that nothing printed can give a terminal orders."""

from __future__ import annotations

import json
import os
import pwd
import sys

import pytest

from appliance.cli import actor, presenting


@pytest.mark.parametrize("text", ["\x1b[2J", "\x07", "\x9b1m", "\u202eabc", "\u2066x"])
def test_what_a_terminal_would_obey_is_replaced(text: str) -> None:
    """Escape sequences and direction overrides never reach the terminal."""
    assert presenting.clean(text)[0] == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("text", ["a\tb\nc", "Müller", "שלום", "👩‍⚕️", "नमस्ते"])
def test_ordinary_text_of_any_script_is_kept(text: str) -> None:
    """Letters, emoji, joiners, tabs and line breaks stay as they are."""
    assert presenting.clean(text) == text


def test_a_table_elsewhere_than_a_terminal_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are aligned with blanks, so that other programs can cut them."""
    presenting.table(("name", "role"), [("eva", "clinician"), ("bo", None)])
    assert capsys.readouterr().out.splitlines() == [
        "name   role",
        "eva    clinician",
        "bo     -",
    ]


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to show is a sentence, not a blank screen."""
    presenting.table(("name",), [], empty="there is no account yet")
    assert capsys.readouterr().out == "there is no account yet\n"


def test_a_narrow_terminal_leaves_spare_columns_out_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole columns give way, in the stated order, before words are broken."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    presenting.table(("name", "id"), [("eva", "usr_4a4f611728fa5720")], spare=("id",))
    printed = capsys.readouterr()
    assert "usr_" not in printed.out
    assert "left out, because the terminal is narrow: id" in printed.err


def test_square_brackets_are_no_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A label such as [bold] is shown as it was typed."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    presenting.table(("label",), [("[bold]x[/bold]",)])
    assert "[bold]x[/bold]" in capsys.readouterr().out


def test_progress_elsewhere_than_a_terminal_is_plain_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A log gets one line for each tenth, not a bar."""
    with presenting.progress("copying") as step:
        for done in range(101):
            step(done * 10_000, 1_000_000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "copying: 0 % of 1.0 MB"
    assert lines[-1] == "copying: 100 % of 1.0 MB"
    assert len(lines) == 11


def test_json_gives_a_terminal_no_orders() -> None:
    """C1 controls and overrides are escapes in JSON too, and read back as what they were."""
    value = {"card": "a\x1b[31m\x9b31m\u202egpj\x7f\ud800", "name": "Zo\u00eb \U0001f600"}
    for indent in (None, 2):
        shown = presenting.json_text(value, indent=indent)
        assert presenting.clean(shown) == shown
        assert json.loads(shown) == value
        assert "Zo\u00eb \U0001f600" in shown


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1_000, "1.0 kB"), (7e9, "7.0 GB")]
)
def test_sizes_have_the_unit_that_fits(count: int, text: str) -> None:
    """Sizes are in powers of ten, as on a disk's label."""
    assert presenting.size(count) == text


def test_under_sudo_the_caller_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record names the person who called sudo, not root."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "maria")
    assert actor.console_actor().user == "os:maria"


def test_nobody_but_root_can_borrow_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that anybody can set does not change who somebody is."""
    monkeypatch.setattr(os, "getuid", lambda: pwd.getpwnam("nobody").pw_uid)
    monkeypatch.setenv("SUDO_USER", "maria")
    assert actor.console_actor().user == "os:nobody"


def test_a_number_without_a_name_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the user may have no name; the record still tells users apart."""
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999)
    assert actor.login_name() == "uid-3999999"
