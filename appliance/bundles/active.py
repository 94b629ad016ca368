"""`active.json` in the library: which models the engine is to load when it starts.

`model` answers who names none; `beside` is there only while a second one is active. It follows
the database, which decides. Written inside the caller's transaction, so that of two processes
none writes what the other has just made untrue.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from appliance import durable
from appliance.bundles.inventory import ModelInfo

NAME = "active.json"
KEYS = ("model", "beside")


def note(library: Path, models: Sequence[ModelInfo]) -> None:
    """Make the file name these models, the default first; none removes the file."""
    path = library / NAME
    if not models:
        path.unlink(missing_ok=True)
        durable.sync_folder(library)
        return
    value = {key: _entry(model) for key, model in zip(KEYS, models, strict=False)}
    data = json.dumps(value, indent=1).encode() + b"\n"
    if not path.exists() or path.read_bytes() != data:
        durable.write(path, data, mode=0o644)


def _entry(model: ModelInfo) -> dict[str, object]:
    """Return what an engine must find."""
    return {
        "name": model.name,
        "version": model.version,
        "digest": model.digest,
        "context_tokens": model.context_tokens,
        "template_sha256": model.files.get("template"),
        "chunks_sha256": model.files.get("chunks"),
    }
