"""A ledger that kills itself at each step of a hand-over to a new key, one step after another.

Run as `python -m tests.unit.audit.hand_over_process FOLDER`, with a record of yesterday in FOLDER.
Copies it to FOLDER/<step> for step 0, 1, …, and there hands over until that step, where the process
dies. Steps are everything that reaches the disk: calls of the system, and commits. Prints a JSON
list: for each copy, whether the hand-over came to its end there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.audit import store
from tests.unit.audit import samples

CALLS = ("open", "write", "fsync", "fchmod", "chmod", "link", "unlink", "rename", "replace")
TODAY = samples.MORNING + 86_400


class Steps:
    """Counts what reaches the disk, and dies before step number `last`."""

    def __init__(self, last: int) -> None:
        self._left = last

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1
            return call(*arguments, **named)

        return step


def hand_over(path: Path, last: int) -> None:
    """Open yesterday's record as the ledger does, and die at one step of today's hand-over."""
    clock = samples.SetClock()
    log = samples.opened(path, clock=clock)
    steps = Steps(last)
    for name in CALLS:
        setattr(os, name, steps.counted(getattr(os, name)))
    for name in ("begin", "commit"):
        setattr(store.Writer, name, steps.counted(getattr(store.Writer, name)))
    clock.seconds = TODAY
    log.append(samples.event())
    os._exit(0)


def main(folder: Path) -> None:
    """Do it for each step, in a process of its own that is forked before any thread begins."""
    ended: list[bool] = []
    while not any(ended):
        step = len(ended)
        state = folder / str(step)
        state.mkdir()
        shutil.copy(folder / "audit.db", state)
        for name in ("audit.keys", "audit.anchors"):
            shutil.copytree(folder / name, state / name)
        child = os.fork()
        if child == 0:
            hand_over(state / "audit.db", step)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0)
    print(json.dumps(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
