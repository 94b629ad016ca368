"""`active.json` in the library: which model the engine is to load when it starts.

It follows the database, which decides. Written inside the caller's transaction, so that of two
processes none writes what the other has just made untrue.
"""

from __future__ import annotations

import json
from pathlib import Path

from appliance import durable
from appliance.bundles.inventory import ModelInfo

NAME = "active.json"


def note(library: Path, model: ModelInfo | None) -> None:
    """Make the file name this model, with what its engine must find; None removes the file."""
    path = library / NAME
    if model is None:
        path.unlink(missing_ok=True)
        durable.sync_folder(library)
        return
    value = {
        "model": {
            "name": model.name,
            "version": model.version,
            "digest": model.digest,
            "context_tokens": model.context_tokens,
            "template_sha256": model.files.get("template"),
            "chunks_sha256": model.files.get("chunks"),
        }
    }
    data = json.dumps(value, indent=1).encode() + b"\n"
    if not path.exists() or path.read_bytes() != data:
        durable.write(path, data, mode=0o644)
