"""Imports in processes of their own that kill themselves at a stated point: `kill -9`, no error.

Started once; each line on standard input, `[state, point, folder]` in JSON, is one import in a
process forked for it, and answered by that process's status. POINT is a step of the import,
`rows` (files renamed, rows not written), a share of the weights such as `50%`, or `none`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from appliance.assembly import assemble
from appliance.bundles import digesting, pipeline
from appliance.bundles.manifest import SIDE_FILES
from appliance.bundles.store import ModelStore
from appliance.config import load
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.operations.imports import ImportEvent, Imports

STEWARD = Actor("usr_steward", "steward", Role.STEWARD, "password")
PIECE, CHUNK = 512, 4_096


def die(*_: object) -> NoReturn:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def run(state: Path, point: str, folders: list[Path]) -> None:
    """Import, and die at the point."""
    pipeline.BLOCK, pipeline.BLOCKS, digesting.CHUNK_BYTES = PIECE, 2, CHUNK
    if point == "rows":
        ModelStore.add_models = die  # type: ignore[method-assign]  # the moment is the test

    percent = point.removesuffix("%")
    beside: list[int] = []

    def tell(event: ImportEvent) -> None:
        if event.step == point:
            die()
        if event.step is not None or not percent.isdecimal():
            return
        # The files beside the weights are read first; the share is of the weights.
        if len(beside) < len(SIDE_FILES):
            beside.append(event.done)
        elif (event.done - beside[-1]) * 100 >= (event.total - beside[-1]) * int(percent):
            die()

    appliance = assemble(load(state, file=state / "none", environment={}))
    Imports(appliance, None, returns=False).import_bundle(STEWARD, folders, tell)
    appliance.close()


def main() -> None:
    """Run one import for each line."""
    for line in sys.stdin:
        state, point, folder = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                run(Path(state), point, [Path(folder)])
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, flush=True)


if __name__ == "__main__":
    main()
