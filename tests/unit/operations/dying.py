"""A process that is killed at a named point of an erasure or of a new key (`kill -9`).

Run as a module: state folder, what to do, where to die. A place is `module:object.name`, with
`before` or `after` its call.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
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
    words = [sys.executable, "-m", "tests.unit.operations.dying", str(state), work, place, when]
    ended = subprocess.run(words, cwd=Path(__file__).parents[3], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def main(state: str, work: str, place: str, when: str) -> None:
    """Be that process."""
    config = load(Path(state), file=Path(state) / "none", environment={})
    appliance = assemble(config, ManualClock())
    die_at(place, when)
    WORK[work](operations_for(appliance))


if __name__ == "__main__":
    main(*sys.argv[1:])
