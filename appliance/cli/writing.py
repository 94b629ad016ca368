"""A file for a person to take along: whole and durable, or not there at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from appliance import durable
from appliance.errors import BadInputError, ConflictError


def refuse_existing(path: Path) -> None:
    """Raise ConflictError when `path` exists, and BadInputError when its folder does not."""
    if not path.parent.is_dir():
        raise BadInputError(
            f"there is no folder {path.parent}", hint="name a file in a folder that exists"
        )
    if path.exists():
        raise ConflictError(
            f"{path} exists already and was left as it is", hint="name another file with --out"
        )


def write_pieces(path: Path, pieces: Iterable[bytes], *, mode: int = 0o600) -> int:
    """Write all pieces beside `path`, then put the file in place; return its size in bytes.

    Raises DiskFullError; whatever goes wrong, no part of the file remains.
    """
    return durable.create_portable(path, pieces, mode=mode)
