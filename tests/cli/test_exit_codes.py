"""Errors at the command line: one exit code each, plain words, never a stack trace."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import click
import pytest

from appliance.cli import errors
from appliance.cli.main import run
from appliance.errors import ApplianceError, LockedOutError, TamperedError
from tests.cli.conftest import Run
from tests.cli.test_help_and_reference import GENERATOR

INSTALLED = Path(sys.executable).with_name("appliance")


def all_error_classes() -> set[type[ApplianceError]]:
    found: set[type[ApplianceError]] = runpy.run_path(str(GENERATOR))["error_classes"]()
    return found


def test_every_error_with_a_code_of_its_own_has_an_exit_code() -> None:
    """A new kind of error must be put into the table before it can be released."""
    missing = {kind for kind in all_error_classes() if "code" in vars(kind)} - set(errors.EXIT)
    assert missing == set()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("user", "add", "eva", "--role", "clinician"), 0),
        (("user", "disable", "nobody"), 1),
        (("user", "add", "eva", "--role", "king"), 2),
        (("user", "add", "two words", "--role", "clinician"), 2),
        (("nonsense",), 2),
        (("user",), 2),
        (("audit", "list", "--limit", "0"), 2),
        (("audit", "list", "--since", "yesterday"), 2),
        (("model", "show", "nope"), 1),
        (("init",), 1),
    ],
)
def test_exit_code(appliance: Run, words: tuple[str, ...], code: int) -> None:
    """Each kind of end has its own exit code."""
    assert appliance(*words).code == code


def test_an_error_says_what_happened_and_what_to_do_next(appliance: Run) -> None:
    """Two lines on stderr, nothing on stdout."""
    ended = appliance("user", "disable", "nobody")
    assert ended.out == ""
    assert ended.err.splitlines()[0] == "error: there is no such account"
    assert ended.err.splitlines()[1].startswith("next: ")


def test_an_error_is_json_where_json_was_asked_for(appliance: Run) -> None:
    """A program reads the code, the words and the advice as one object."""
    ended = appliance("user", "disable", "nobody", "--json")
    assert json.loads(ended.err)["error"]["code"] == "not_found"


def test_wrong_usage_is_json_too(appliance: Run) -> None:
    """Even a command line that cannot be parsed is answered in JSON."""
    ended = appliance("user", "list", "--nope", "--json")
    assert json.loads(ended.err)["error"]["code"] == "usage"


def test_an_unexpected_error_shows_no_stack_trace_and_no_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A fault of ours names its type and place; its message could quote what a person wrote."""
    try:
        {}["a patient's name"]
    except KeyError as error:
        errors.report(error)
    text = capsys.readouterr().err
    assert "unexpected KeyError at" in text
    assert "patient" not in text
    assert "Traceback" not in text


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """What the operating system refuses is said with the file it is about."""
    errors.report(FileNotFoundError(2, "No such file or directory", "/media/stick/x"))
    assert "error: /media/stick/x: no such file or directory" in capsys.readouterr().err


def test_a_lock_out_says_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever is locked out learns how many seconds are left."""
    errors.report(LockedOutError("too many failed attempts", retry_after=61))
    assert "61 seconds" in capsys.readouterr().err


def test_ctrl_c_is_130() -> None:
    """A command that a person stopped ends as the shell expects."""
    assert errors.exit_code_of(click.Abort()) == 130
    assert errors.exit_code_of(KeyboardInterrupt()) == 130


def test_tampering_is_3() -> None:
    """Verification failures have a code of their own."""
    assert errors.exit_code_of(TamperedError(7, "it is missing")) == 3


def test_control_characters_in_an_error_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An escape sequence in an error is shown as replaced characters."""
    errors.report(ApplianceError("bad \x1b[2Jname"))
    assert "\x1b" not in capsys.readouterr().err


def test_no_state_folder_says_init(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a fresh machine every command says what to do first."""
    assert run(["--state", str(tmp_path / "none"), "user", "list"]) == 1
    assert "appliance init" in capsys.readouterr().err


def test_state_after_the_command_wins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The option nearest to the command counts."""
    words = ["--state", str(tmp_path / "a"), "config", "show", "--json"]
    assert run([*words, "--state", str(tmp_path / "b")]) == 0
    first = json.loads(capsys.readouterr().out)[0]
    assert first == {"setting": "state", "value": str(tmp_path / "b"), "source": "--state"}


def test_the_installed_command_works() -> None:
    """`appliance --version` as a user types it."""
    ended = subprocess.run(
        [str(INSTALLED), "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.startswith("appliance ")


def test_the_environment_names_the_state_folder(tmp_path: Path) -> None:
    """APPLIANCE_STATE stands for --state."""
    ended = subprocess.run(
        [str(INSTALLED), "config", "show", "--json"],
        env={**os.environ, "APPLIANCE_STATE": str(tmp_path)},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(ended.stdout)[0]["source"] == "APPLIANCE_STATE"
