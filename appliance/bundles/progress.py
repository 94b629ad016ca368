"""How far an import or a review has come, and what it still lacks."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

from appliance.bundles.imports.steps import Watch
from appliance.bundles.manifest import VerifiedModel, VerifiedTarget
from appliance.bundles.media import place_of
from appliance.bundles.refusals import IncompleteError


class Counter:
    """Adds up bytes and tells who watches."""

    def __init__(self, total: int, watch: Watch) -> None:
        self._total = total
        self._done = 0
        self._watch = watch

    def add(self, count: int) -> None:
        self._done += count
        self._watch.progress(self._done, self._total)


def engine_version() -> str | None:
    """Return the version of the engine installed here, None where there is none."""
    try:
        return importlib.metadata.version("llama-cpp-python")
    except importlib.metadata.PackageNotFoundError:
        return None


def total_bytes(model: VerifiedModel) -> int:
    """Return the length of all files of a model."""
    return sum(target.length for target in model.files)


def incomplete(missing: Sequence[VerifiedTarget]) -> IncompleteError:
    """Return the error that names the first of the missing files, and how many more lack."""
    first = missing[0]
    more = f", nor are {len(missing) - 1} more files" if len(missing) > 1 else ""
    what = f"part {first.part} of the weights, " if first.path.endswith(f".{first.part:03}") else ""
    return IncompleteError(
        f"{what}{place_of(first)} is on none of the media{more}; what was read is kept"
    )
