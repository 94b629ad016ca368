"""The whole appliance on a small disk that fills up and is emptied, as facts in JSON.

Run as `python -m tests.faults.appliance_on_disk FOLDER`, where FOLDER is a small disk.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.simulators.stack import Stack

WITHIN_S = 40.0
PAGE = 4_096


def ask(stack: Stack, key: str) -> tuple[int, str]:
    """Ask a short question; return the status and what was said about it."""
    body = {"model": "demo", "messages": [{"role": "user", "content": "Who are you?"}]}
    answer = httpx.post(
        f"{stack.address}/v1/chat/completions",
        json={**body, "max_tokens": 8},
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
        trust_env=False,
    )
    return answer.status_code, answer.text


def until(status: int, once_more: Callable[[], tuple[int, str]]) -> tuple[int, str]:
    """Do it until it comes to this status, or for long enough."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        found = once_more()
        if found[0] == status or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def fill(file: Path) -> None:
    with file.open("ab", buffering=0) as ballast:
        try:
            while ballast.write(bytes(PAGE)) == PAGE:
                pass
        except OSError:
            return


def story(folder: Path) -> Iterator[tuple[str, Any]]:
    settings = {"APPLIANCE_LEDGER__RESERVE_BYTES": "1048576"}
    stack = Stack(folder / "state", settings=settings)
    try:
        stack.start()
        yield from while_running(stack, folder / "ballast")
    finally:
        code = stack.stop()
    yield "code", code


def while_running(stack: Stack, ballast: Path) -> Iterator[tuple[str, Any]]:
    key = stack.api_key()
    yield "before", ask(stack, key)[0]
    fill(ballast)
    # What little is left inside the files is used up first.
    yield "refused", until(507, lambda: ask(stack, key))
    yield "again", ask(stack, key)
    ballast.unlink()
    yield "resumed", until(200, lambda: ask(stack, key))[0]
    yield "parts", sorted(stack.parts())
    actions = [entry["action"] for entry in stack.record()]
    yield "disk_full", actions.count("disk.full")
    yield "verified", stack.run("audit", "verify").stdout


if __name__ == "__main__":
    print(json.dumps(dict(story(Path(sys.argv[1])))))
