"""Processes that are killed at a named point of an erasure or of a new key (`kill -9`).

Run as a module: reads orders, one to a line, as JSON: state folder, what to do, where to die. Each
order gets a process of its own, forked from this one, since importing takes longer than dying; a
line with its exit status is the answer. A place is `module:object.name`, with `before` or `after`
its call.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.assembly import assemble
from appliance.cli.actor import console_actor
from appliance.config import load
from appliance.conversations.retention import PATIENT
from appliance.operations import Operations, operations_for
from appliance.operations.scopes import Wanted
from tests.simulators.manual_clock import ManualClock

ROOT = Path(__file__).parents[3]
REFERENCE = "MRN 4711"
BASIS = "GDPR Art. 17(1)(a)"
WORK: dict[str, Callable[[Operations], Any]] = {
    "erase": lambda verbs: verbs.content.erase(console_actor(), Wanted(PATIENT, REFERENCE), BASIS),
    "rewrap": lambda verbs: verbs.rewrapping.rewrap(console_actor()),
}


def die_at(place: str, when: str) -> None:
    """Replace a function by one that kills this process before or after its first call."""
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *steps, name = path.split(".")
    for step in steps:
        owner = getattr(owner, step)
    original = getattr(owner, name)

    def dying(*arguments: Any, **named: Any) -> None:
        if when == "after":
            original(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dying)


def killed(state: Path, work: str, place: str, when: str) -> None:
    """Do `work` on the state folder in a process that dies at this point; return when it has."""
    parent = _parent()
    assert parent.stdin is not None
    assert parent.stdout is not None
    print(json.dumps([str(state), work, place, when]), file=parent.stdin, flush=True)
    assert int(parent.stdout.readline()) == -signal.SIGKILL


@functools.cache
def _parent() -> subprocess.Popen[str]:
    """Start the process that forks the others; it ends with this one."""
    words = [sys.executable, "-m", "tests.unit.operations.dying"]
    parent = subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(parent.communicate)
    return parent


def be_killed(state: str, work: str, place: str, when: str) -> None:
    """Be the process that dies."""
    config = load(Path(state), file=Path(state) / "none", environment={})
    appliance = assemble(config, ManualClock())
    die_at(place, when)
    WORK[work](operations_for(appliance))


def main() -> None:
    """Fork a process for each order."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                be_killed(*json.loads(line))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
