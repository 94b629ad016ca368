"""Imports under a kernel that fails one call of theirs, one after the other, as facts in JSON.

Run as `python -m tests.faults.import_process_failing ROUNDS FOLDER`. Every import begins on a
fresh copy of one state folder, and at most so many of each scene are made to fail, evenly spread
over its calls. Each line of output is one of them: which call failed, what the importer said,
what the record says, what lies about, and whether it works afterwards.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appliance.assembly import assemble
from appliance.audit.query import Query
from appliance.bundles import digesting, pipeline
from appliance.bundles.trust import fingerprint
from appliance.config import Config, load
from appliance.errors import ApplianceError
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.operations.imports import ImportEvent, Imports
from appliance.operations.setup import initialise
from tests.simulators import failing_kernel
from tests.simulators.bundle_forge import BundleForge
from tests.simulators.failing_kernel import KILL, READS, WRITES, Call, Nth, run

CONSOLE = Actor("os:steward", "steward", Role.CONSOLE, "console", None, "console")


@dataclass(frozen=True)
class Desk:
    """What every import begins with."""

    folder: Path
    bundle: Path
    weights: Path

    @property
    def template(self) -> Path:
        return self.folder / "template"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def config(self) -> Config:
        return load(self.state, file=self.folder / "none", environment={})

    def renew(self) -> None:
        """Put the state folder back to how every import begins."""
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.copytree(self.template, self.state)


def prepare(folder: Path) -> Desk:
    """Make a bundle in two parts, and a state folder that trusts its publisher."""
    forge = BundleForge(folder / "desk")
    source = forge.add_model()
    forge.part_bytes = source.gguf.stat().st_size // 2 + 1
    tomorrow = datetime.now(tz=UTC).replace(microsecond=0) + timedelta(days=1)
    desk = Desk(folder, forge.good(expires=tomorrow), source.gguf)

    def begin() -> None:
        config = desk.config()
        initialise(config, CONSOLE)
        appliance = assemble(config)
        root = forge.roots[0]
        appliance.library.add_publisher("publisher", root, fingerprint(root), "usr_it")
        appliance.close()

    run(begin, (), lambda call: None)
    desk.state.rename(desk.template)
    return desk


def bring(desk: Desk, tell: Callable[[ImportEvent], None] = lambda event: None) -> dict[str, Any]:
    """Import in this process, and say what came of it."""
    pipeline.BLOCK, pipeline.BLOCKS, digesting.CHUNK_BYTES = 8_192, 2, 32_768
    try:
        appliance = assemble(desk.config())
    except ApplianceError as error:
        return {"said": error.code, "recorded": None, "models": []}
    said = "ok"
    try:
        Imports(appliance, None, returns=False).import_bundle(CONSOLE, [desk.bundle], tell)
    except ApplianceError as error:
        said = error.code
    except Exception as error:
        said = f"crash: {type(error).__name__}: {error}"
    query = Query(action="bundle.import", limit=10)
    newest = next(iter(appliance.ledger.search(query).entries), {})
    content = newest.get("content") or {}
    recorded = [newest.get("outcome"), content.get("code"), content.get("step")]
    models = [str(model.state) for model in appliance.library.models()]
    appliance.close()
    return {"said": said, "recorded": recorded, "models": models}


def lies_about(desk: Desk) -> dict[str, list[str]]:
    """Return what lies in the library, in staging, and where nothing of a bundle belongs."""
    paths = desk.config().paths
    known = {path.name for path in desk.template.iterdir()}
    found = {path.name.partition("-")[0] for path in paths.state.iterdir()}
    return {
        "library": sorted(path.name for path in paths.library.iterdir()),
        "staging": sorted(path.name for path in paths.staging.iterdir()),
        "strange": sorted(found - known - {f"{n}-" for n in known}),
    }


def whole(desk: Desk) -> bool:
    """Tell whether the weights in the library are, byte for byte, those of the desk."""
    data = desk.weights.read_bytes()
    path = desk.config().paths.library / f"{hashlib.sha256(data).hexdigest()}.gguf"
    return path.exists() and path.read_bytes() == data


def story(
    desk: Desk, names: Sequence[str], places: Sequence[Path], number: int, failure: int
) -> dict[str, Any]:
    """Import with the n-th matching call failing, then again without."""
    desk.renew()
    fails = Nth(places, names, number, failure)
    ended = run(lambda: bring(desk), names, fails)
    failed: Call | None = fails.seen[number - 1] if 0 < number <= len(fails.seen) else None
    facts: dict[str, Any] = {"number": number, "calls": len(fails.seen), "signal": ended.signal}
    facts["call"] = [failed.name, os.path.relpath(failed.path, desk.folder)] if failed else None
    facts["first"] = ended.value
    facts["left"] = lies_about(desk)
    if number:
        facts["second"] = run(lambda: bring(desk), (), lambda call: None).value
        facts["whole"] = whole(desk)
        facts["then"] = lies_about(desk)
    return facts


def scenes(desk: Desk) -> dict[str, tuple[Sequence[str], list[Path], int]]:
    paths = desk.config().paths
    files, rows = [paths.staging, paths.library], [paths.appliance_db]
    return {
        "full-files": (WRITES, files, errno.ENOSPC),
        "error-files": (WRITES, files, errno.EIO),
        "kill-files": ((*WRITES, "unlink"), files, KILL),
        "full-rows": (WRITES, rows, errno.ENOSPC),
        "error-rows": (WRITES, rows, errno.EIO),
        "kill-rows": (WRITES, rows, KILL),
        "error-reads": (READS, [desk.bundle], errno.EIO),
    }


def main(rounds: int, folder: str) -> Iterator[dict[str, Any]]:
    desk = prepare(Path(folder))
    for place, (scene, (names, places, failure)) in enumerate(scenes(desk).items()):
        counted = story(desk, names, places, 0, failure)
        yield {"scene": scene, **counted}
        stride = max(1, counted["calls"] // rounds)
        # Each scene begins elsewhere, so that few rounds of all see more of the calls.
        for number in range(1 + place % stride, counted["calls"] + 1, stride):
            yield {"scene": scene, **story(desk, names, places, number, failure)}


if __name__ == "__main__":
    if failing_kernel.works():
        for found in main(int(sys.argv[1]), sys.argv[2]):
            print(json.dumps(found), flush=True)
