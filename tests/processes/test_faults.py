"""Promise 6, nothing is lost: what `kill -9` of each process costs, and what the record says."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.simulators.stack import Stack

LONG = "Tell me everything about this appliance."
BACK_WITHIN_S = 5
# The engine holds the models' processes, which end with it.
ENDS_WITH = {"engine": {"model"}}


class Asker(threading.Thread):
    """One streamed question in a thread of its own; `text` grows while the answer arrives."""

    def __init__(self, stack: Stack, key: str, prompt: str = LONG) -> None:
        super().__init__(daemon=True)
        self.stack, self.key, self.prompt = stack, key, prompt
        self.text = ""
        self.error: str | None = None
        self.began = threading.Event()
        self.start()

    def run(self) -> None:
        body = {
            "model": "demo",
            "messages": [{"role": "user", "content": self.prompt}],
            "stream": True,
            "temperature": 1.5,
            "max_tokens": 400,
        }
        try:
            with httpx.stream(
                "POST",
                f"{self.stack.address}/v1/chat/completions",
                json=body,
                headers={"Authorization": f"Bearer {self.key}"},
                timeout=60,
            ) as response:
                for line in response.iter_lines():
                    if line:
                        self.text += line
                        self.began.set()
        except httpx.HTTPError as error:
            self.error = repr(error)
        self.began.set()


def kill(pids: list[int]) -> None:
    """Kill the youngest process of a part: gunicorn's worker, which does the work."""
    os.kill(pids[-1], signal.SIGKILL)


def kill_whole(pids: list[int]) -> None:
    """Kill gunicorn's master, so that the supervisor has to bring the part back."""
    os.kill(pids[0], signal.SIGKILL)


def eventually(check: Callable[[], Any], within_s: float = 20) -> Any:
    """Return the first truthy value of `check`; fail after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def ask(stack: Stack, key: str) -> int:
    """Ask a short question and return the HTTP status."""
    body = {"model": "demo", "messages": [{"role": "user", "content": "Who are you?"}]}
    try:
        return httpx.post(
            f"{stack.address}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
        ).status_code
    except httpx.HTTPError:
        return 0


def outcomes(stack: Stack, since: int) -> dict[str, list[str]]:
    """Return for each question recorded since an entry the actions that ended it."""
    ends: dict[str, list[str]] = {}
    for entry in stack.record()[since:]:
        if entry["action"] == "answer.request":
            ends[entry["entity"]] = []
        elif entry["action"] in {"answer.complete", "answer.stop", "answer.fail"}:
            ends[entry["entity"]].append(entry["action"])
    return ends


@pytest.mark.parametrize("blow", [kill, kill_whole])
@pytest.mark.parametrize("part", ["model", "engine", "gateway", "ledger"])
def test_killing_one_part_costs_one_answer_at_most(
    mended: Stack, part: str, blow: Callable[[list[int]], None]
) -> None:
    """The others run on, the part is back within 5 seconds, each question has one outcome."""
    key = mended.api_key()
    since = len(mended.record())
    assert ask(mended, key) == 200
    before = mended.parts()
    with mended.slowly("model"):
        asker = Asker(mended, key)
        assert asker.began.wait(30)
        blow(before[part])
    eventually(lambda: ask(mended, key) == 200, within_s=BACK_WITHIN_S)
    asker.join(30)

    after = mended.parts()
    gone = {part, *ENDS_WITH.get(part, ())}
    assert all(after[other] == before[other] for other in before if other not in gone)
    assert all(after[other] != before[other] for other in gone)
    eventually(lambda: all(outcomes(mended, since).values()))
    ends = outcomes(mended, since)
    assert len(ends) >= 2
    assert all(len(actions) == 1 for actions in ends.values())
    failed = [actions for actions in ends.values() if actions == ["answer.fail"]]
    assert len(failed) <= 1
    mended.command("audit", "verify")


def test_an_answer_cut_off_by_the_gateways_death_is_recorded_as_failed(mended: Stack) -> None:
    """The record says that it was interrupted, and whose it was."""
    key = mended.api_key()
    since = len(mended.record())
    with mended.slowly("model"):
        asker = Asker(mended, key)
        assert asker.began.wait(30)
        kill_whole(mended.parts()["gateway"])
    asker.join(30)
    entries = eventually(
        lambda: [each for each in mended.record()[since:] if each["action"] == "answer.fail"]
    )
    assert entries[0]["content"]["reason"] == "interrupted"
    assert entries[0]["content"]["person"].startswith("usr_")


def test_ctrl_c_stops_everything_and_the_next_start_keeps_the_state(mended: Stack) -> None:
    """No process remains, passwords are not shown again, and the record is whole."""
    before = len(mended.record())
    assert mended.stop() == 0
    assert mended.parts() == {}
    mended.start()
    assert mended.printed == [f"address {mended.address}"]
    assert len(mended.record()) > before
    assert "whole" in mended.command("audit", "verify").stdout


def test_killing_the_supervisor_leaves_no_orphan(mended: Stack) -> None:
    """The parts end with their supervisor, so that the next start finds sockets and locks free."""
    assert mended.process is not None
    mended.process.kill()
    eventually(lambda: mended.parts() == {})
    assert mended.stop() == -signal.SIGKILL
    mended.start()


def test_a_second_run_on_the_same_state_is_refused(mended: Stack) -> None:
    """Two supervisors on one record would fight; the second says what to do."""
    second = mended.run("run", check=False)
    assert second.returncode == 1
    assert "in use" in second.stderr


def test_a_taken_port_is_named_before_anything_starts(mended: Stack, tmp_path: Any) -> None:
    """The message says how to choose another port, and no state with lost passwords is made."""
    other = Stack(tmp_path / "other", port=mended.port)
    refused = other.run("run", "--demo", "models/demo", check=False)
    assert refused.returncode == 1
    assert "APPLIANCE_PORT" in refused.stderr
    assert not other.state.exists()


def test_a_part_that_refuses_says_why_once(tmp_path: Any) -> None:
    """The reason stands once, with what to do next, and nothing keeps running."""
    stack = Stack(tmp_path / "state")
    stack.command("init")
    (stack.state / "keys/content.key").chmod(0o644)
    refused = stack.run("run", check=False)
    assert refused.returncode == 1
    assert refused.stderr.count("can be read by others") == 1
    assert "chmod 0400" in refused.stderr
    assert refused.stdout == ""
    assert stack.parts() == {}


def test_first_passwords_are_shown_even_when_the_start_is_cut_short(tmp_path: Any) -> None:
    """They exist nowhere else, so Ctrl+C during the first start must not swallow them."""
    stack = Stack(tmp_path / "state")
    process = stack.launch()
    eventually(lambda: "ledger" in stack.parts())
    process.send_signal(signal.SIGINT)
    assert stack.stop() == 0
    assert [line.split()[:2] for line in stack.printed if not line.startswith("address")] == [
        ["clinician", "demo"],
        ["administrator", "admin"],
    ]


def test_a_second_ledger_cannot_take_the_socket_away(mended: Stack) -> None:
    """It is refused before it touches the socket, and questions are answered as before."""
    key = mended.api_key()
    second = mended.run("serve", "ledger", check=False)
    assert second.returncode == 1
    assert "in use" in second.stderr
    assert ask(mended, key) == 200


def test_a_command_waits_for_a_restarting_ledger(mended: Stack) -> None:
    """While the ledger is down for a moment, a command does not take the record for itself."""
    kill_whole(mended.parts()["ledger"])
    assert mended.command("user", "list", check=False).returncode == 0
    assert ask(mended, mended.api_key()) == 200


def test_a_wrong_key_file_is_refused_before_the_first_question(mended: Stack) -> None:
    """Else new conversations would be lost when the right file comes back."""
    assert ask(mended, mended.api_key()) == 200
    mended.stop()
    key = mended.state / "keys/content.key"
    right = key.read_bytes()
    key.chmod(0o600)
    key.write_bytes(os.urandom(32))
    key.chmod(0o400)
    refused = mended.run("run", check=False)
    assert refused.returncode == 3
    assert "does not belong" in refused.stderr
    key.chmod(0o600)
    key.write_bytes(right)
    key.chmod(0o400)
    mended.start()


def test_a_record_that_was_removed_while_running_ends_all_answers(own_stack: Stack) -> None:
    """Nothing is written where nobody would find it: no record, no answer."""
    key = own_stack.api_key()
    assert ask(own_stack, key) == 200
    (own_stack.state / "audit.db").rename(own_stack.state / "elsewhere.db")
    assert ask(own_stack, key) == 503


def test_a_removed_socket_is_made_again(mended: Stack) -> None:
    """The supervisor starts the part again that nobody can reach any more."""
    key = mended.api_key()
    (mended.state / "run/engine.sock").unlink()
    eventually(lambda: (mended.state / "run/engine.sock").exists(), within_s=30)
    eventually(lambda: ask(mended, key) == 200, within_s=15)
