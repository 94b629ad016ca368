"""Each container is killed, paused and restarted while people ask: nothing is lost.

After each blow everybody is answered again, with no hand on the stack; every question whose intent
stands in the record has exactly one outcome; every answer that somebody got in full is recorded as
complete; and the record verifies.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest

from tests.simulators.docker_stack import SERVICES, DockerStack, docker
from tests.simulators.stack_visitor import (
    answered_within,
    caller,
    entity,
    make_key,
    record,
    verified,
)

CLIENTS = 4  # as many as one person may have at a time
BACK_WITHIN_S = 120.0
SETTLED_WITHIN_S = 60.0
PAUSED_S = 4.0
ENDINGS = {"answer.complete", "answer.stop", "answer.fail", "answer.refuse"}


class Asker(threading.Thread):
    """Asks through the edge until told to stop, whatever comes back; keeps what was answered."""

    def __init__(self, stack: DockerStack, key: str, stream: bool, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._stack, self._stream, self._stop_now = stack, stream, stop
        self._headers = {"Authorization": f"Bearer {key}"}
        self.answered: list[str] = []

    def run(self) -> None:
        while not self._stop_now.is_set():
            # A connection that is cut, a 502, a 503: an answer that nobody was promised.
            with contextlib.suppress(httpx.HTTPError), caller(self._stack) as client:
                while not self._stop_now.is_set():
                    self._ask(client)
            self._stop_now.wait(0.3)

    def _ask(self, client: httpx.Client) -> None:
        turns = [{"role": "user", "content": "Who can read my question?"}]
        body = {"model": "demo", "messages": turns, "max_tokens": 24, "stream": self._stream}
        place = "/v1/chat/completions"
        with client.stream("POST", place, json=body, headers=self._headers) as reply:
            if reply.status_code != httpx.codes.OK:
                self._stop_now.wait(0.3)
            elif not self._stream:
                reply.read()
                self.answered.append(entity(reply.json()))
            else:
                self._follow(reply.iter_lines())

    def _follow(self, lines: Iterator[str]) -> None:
        named = ""
        for line in lines:
            if line.startswith("data: {") and "id" in (piece := json.loads(line[6:])):
                named = entity(piece)
            if line == "data: [DONE]" and named:
                self.answered.append(named)


def kill(stack: DockerStack, service: str) -> None:
    """From outside, as the kernel does when memory is short; Docker starts it again.

    Not `docker kill`: that counts as a stop by hand, after which nothing is started again.
    """
    os.kill(stack.inspected(service)["State"]["Pid"], signal.SIGKILL)


def pause(stack: DockerStack, service: str) -> None:
    """Nothing in it runs for a while, as on a machine that is overloaded."""
    assert docker("pause", stack.container(service)).returncode == 0
    time.sleep(PAUSED_S)
    assert docker("unpause", stack.container(service)).returncode == 0


def restart(stack: DockerStack, service: str) -> None:
    """An administrator restarts one part alone."""
    assert docker("restart", stack.container(service)).returncode == 0


@pytest.fixture(scope="module")
def key(stack: DockerStack) -> str:
    """An API key of the demo clinician."""
    return make_key(stack)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("blow", [kill, pause, restart])
def test_nothing_is_lost(
    stack: DockerStack, key: str, blow: Callable[[DockerStack, str], None], service: str
) -> None:
    """Under load, for each part and each blow."""
    stop = threading.Event()
    askers = [Asker(stack, key, number % 2 == 0, stop) for number in range(CLIENTS)]
    for asker in askers:
        asker.start()
    try:
        _everybody_is_answered(askers)
        blow(stack, service)
        _everybody_is_answered(askers)
    finally:
        stop.set()
        for asker in askers:
            asker.join(BACK_WITHIN_S)
    assert not any(asker.is_alive() for asker in askers)
    ends = _settled(stack)
    assert {asked: found for asked, found in ends.items() if len(found) != 1} == {}
    lost = [name for asker in askers for name in asker.answered
            if ends.get(name) != ["answer.complete"]]  # fmt: skip
    assert lost == []
    assert verified(stack)["whole"]


def test_a_gateway_that_comes_back_elsewhere_is_found(stack: DockerStack, key: str) -> None:
    """Somebody has its address meanwhile; the edge goes to where it is now."""
    before = _address(stack)
    assert docker("stop", stack.container("gateway")).returncode == 0
    squatter = docker(
        "run", "--detach", "--rm", "--init", "--pull", "never", "--network", _front(stack),
        "--entrypoint", "sleep", stack.inspected("edge")["Config"]["Image"], "600",
    )  # fmt: skip
    assert squatter.returncode == 0, squatter.stderr
    try:
        assert docker("start", stack.container("gateway")).returncode == 0
        assert _address(stack) != before
        answered_within(stack, key)
    finally:
        docker("rm", "--force", squatter.stdout.strip())


def _address(stack: DockerStack) -> str:
    return str(
        stack.inspected("gateway")["NetworkSettings"]["Networks"][_front(stack)]["IPAddress"]
    )


def _front(stack: DockerStack) -> str:
    return next(n for n in stack.inspected("edge")["NetworkSettings"]["Networks"] if "front" in n)


def _everybody_is_answered(askers: Sequence[Asker]) -> None:
    """Return once each has got two more answers: the first may have been on its way before."""
    wanted = [len(asker.answered) + 2 for asker in askers]
    until = time.monotonic() + BACK_WITHIN_S
    while any(len(asker.answered) < count for asker, count in zip(askers, wanted, strict=True)):
        assert time.monotonic() < until, "somebody is not answered any more"
        time.sleep(0.1)


def _settled(stack: DockerStack) -> Mapping[str, list[str]]:
    """Return the endings of each question that has an intent, once none is open."""
    until = time.monotonic() + SETTLED_WITHIN_S
    while True:
        ends = _ends(record(stack))
        if all(ends.values()) or time.monotonic() > until:
            return ends
        time.sleep(1)


def _ends(found: Sequence[Mapping[str, Any]]) -> Mapping[str, list[str]]:
    ends: dict[str, list[str]] = defaultdict(list)
    for entry in found:
        if entry["action"] == "answer.request":
            assert entry["entity"] not in ends, "one question has two intents"
            ends[entry["entity"]] = []
        elif entry["action"] in ENDINGS and entry["entity"]:
            ends[entry["entity"]].append(entry["action"])
    return ends
