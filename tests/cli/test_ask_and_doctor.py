"""`ask`, `audit verify` and `doctor` against a running appliance with a small real model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.checks import machine
from tests.cli.conftest import Made, Run
from tests.simulators.stack import APPLIANCE, ROOT, Stack

NOTICE = "AI-generated, check before use"


@pytest.fixture(scope="module")
def running(initialised: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The appliance as it runs, on a copy of the state folder."""
    state = tmp_path_factory.mktemp("up") / "state"
    shutil.copytree(initialised.state, state)
    stack = Stack(state).start()
    yield stack
    assert stack.stop() == 0


@pytest.fixture(scope="module")
def key_file(running: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with an API key of the demo clinician."""
    path = tmp_path_factory.mktemp("key") / "demo.key"
    path.write_text(running.api_key() + "\n")
    return str(path)


def test_the_answer_is_on_stdout_and_its_origin_on_stderr(running: Stack, key_file: str) -> None:
    """What can be piped on is the answer alone; model, record and warning stand beside it."""
    ended = running.run("ask", "--key-file", key_file, "hello")
    assert ended.stdout.strip()
    assert NOTICE not in ended.stdout
    assert ended.stderr.startswith("model demo 1.0 (synthetic, not for care); record entries ")
    assert ended.stderr.splitlines()[-1] == NOTICE


def test_an_answer_in_json_names_model_and_record(running: Stack, key_file: str) -> None:
    """A program gets the text, the model by digest, the record's entries and the warning."""
    value = json.loads(running.command("ask", "--key-file", key_file, "--json", "hello").stdout)
    assert value["state"] == "complete"
    assert value["model"]["demo"] is True
    assert len(value["model"]["digest"]) == 64
    assert value["record"]["request"] < value["record"]["outcome"]
    assert value["notice"] == NOTICE


def test_an_answer_leaves_an_intent_and_an_outcome(running: Stack, key_file: str) -> None:
    """The question is recorded under the person who owns the key, before and after."""
    value = json.loads(running.command("ask", "--key-file", key_file, "--json", "hello").stdout)
    listed = running.command("audit", "list", "--entity", value["answer_id"], "--json").stdout
    entries = json.loads(listed)["entries"]
    assert [entry["action"] for entry in entries] == ["answer.request", "answer.complete"]
    assert {entry["agent"]["role"] for entry in entries} == {"clinician"}
    assert {entry["agent"]["method"] for entry in entries} == {"api_key"}


def test_a_password_comes_from_standard_input(running: Stack, initialised: Made) -> None:
    """Whoever has no key signs in with a password that is in no argument."""
    words = ("ask", "--user", "demo", "--password-file", "-", "hello")
    ended = running.command(*words, typed=initialised.passwords["demo"] + "\n")
    assert ended.returncode == 0


def test_a_wrong_password_asks_nothing(running: Stack) -> None:
    """The refusal does not say whether name or password was wrong."""
    words = ("ask", "--user", "demo", "--password-file", "-", "hello")
    ended = running.command(*words, typed="wrong\n", check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: name or password is not right")


def test_a_first_password_must_be_changed_before_asking(running: Stack) -> None:
    """A password that an administrator has seen opens nothing but its own change."""
    made = json.loads(running.command("user", "add", "eva", "--role", "clinician", "--json").stdout)
    words = ("ask", "--user", "eva", "--password-file", "-", "hello")
    ended = running.command(*words, typed=made["password"] + "\n", check=False)
    assert ended.returncode == 1
    assert "the first password must be changed" in ended.stderr


def test_who_asks_must_be_said_where_nobody_can_type(running: Stack) -> None:
    """Without a terminal, a key or a name, it is wrong usage."""
    ended = running.command("ask", "hello", check=False)
    assert ended.returncode == 2


def test_ctrl_c_stops_the_answer_and_the_record_says_so(running: Stack, key_file: str) -> None:
    """A stopped answer is recorded as stopped before the command ends with 130."""

    def press(process: Any) -> None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert _stopped_by(press, running, key_file).returncode == 130


def test_a_closed_window_stops_the_answer(running: Stack, key_file: str) -> None:
    """A hang-up is a stop like any other: the question has its outcome."""

    def hang_up(process: Any) -> None:
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)

    assert _stopped_by(hang_up, running, key_file).returncode == 130


def test_a_reader_that_goes_away_stops_the_answer(running: Stack, key_file: str) -> None:
    """`appliance ask ... | head -1` leaves no answer running and no stack trace."""

    def go_away(process: Any) -> None:
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
        process.stderr.close()
        process.wait(60)

    assert _stopped_by(go_away, running, key_file).returncode == 130


def test_verify_works_while_the_appliance_runs(running: Stack) -> None:
    """The file is walked while the ledger writes, and the verification is recorded."""
    value = json.loads(running.command("audit", "verify", "--json").stdout)
    assert value["whole"] is True
    assert value["recorded"] is True


def test_doctor_finds_a_running_appliance_well(running: Stack) -> None:
    """Nothing fails when everything runs."""
    ended = running.command("doctor", "--json")
    verdicts = {item["check"]: item["verdict"] for item in json.loads(ended.stdout)}
    assert "fail" not in verdicts.values()
    assert {"ledger", "engine", "gateway", "record", "model"} <= set(verdicts)


def test_without_the_engine_nothing_is_asked(appliance: Run, tmp_path: Path) -> None:
    """When nothing runs, asking is exit 4 and leaves no question in the record."""
    key = tmp_path / "key"
    key.write_text(appliance("key", "create", "--user", "demo", "--json").value["key"])
    ended = appliance("ask", "--key-file", str(key), "hello")
    assert ended.code == 4
    assert "nothing was asked" in ended.err
    listed = appliance("audit", "list", "--action", "answer.request", "--json").value
    assert listed["entries"] == []


def test_doctor_names_what_is_wrong_and_what_to_do(appliance: Run, state: Path) -> None:
    """A key file that others may read fails, with the command that repairs it."""
    (state / "keys" / "content.key").chmod(0o444)
    ended = appliance("doctor")
    assert ended.code == 1
    assert "next (key file): chmod 0400" in ended.err


def test_doctor_before_init_says_init(appliance: Run, tmp_path: Path) -> None:
    """On a machine without a state folder the doctor says what to do first."""
    ended = appliance("doctor", "--state", str(tmp_path / "none"))
    assert ended.code == 1
    assert "appliance init" in ended.err


@pytest.mark.parametrize(
    ("flags", "verdict"),
    [
        ("flags\t\t: fpu avx2 fma f16c bmi2\n", "ok"),
        ("flags\t\t: fpu avx2 fma bmi2\n", "warn"),
        ("Features\t: asimd\n", "warn"),
    ],
)
def test_doctor_judges_the_processor(flags: str, verdict: str) -> None:
    """Released images need AVX2, FMA, F16C and BMI2; without them the doctor warns."""
    assert machine.judge(flags).verdict == verdict


def _asking(running: Stack, key_file: str) -> Any:
    return subprocess.Popen(
        [str(APPLIANCE), "--state", str(running.state), "ask", "--key-file", key_file, "hello"],
        cwd=ROOT,
        env={**os.environ, "APPLIANCE_PORT": str(running.port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _stopped_by(end: Callable[[Any], None], running: Stack, key_file: str) -> Any:
    """Return the process whose answer was stopped by `end` after its first letter.

    The small model now and then has nothing more to say after it; then it is asked again.
    """
    for _ in range(8):
        process = _asking(running, key_file)
        process.stdout.read(1)
        end(process)
        listed = running.command("audit", "list", "--text", "answer.", "--json").stdout
        last = json.loads(listed)["entries"][-1]["action"]
        assert last in {"answer.stop", "answer.complete"}
        if last == "answer.stop":
            return process
    raise AssertionError("no answer was stopped")
