"""A file for a person to take along: whole and durable, or not there at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from appliance import durable
from appliance.errors import ConflictError


def refuse_existing(path: Path) -> None:
    """Raise ConflictError when there is something at `path` already."""
    if path.exists():
        raise ConflictError(
            f"{path} exists already and was left as it is", hint="name another file with --out"
        )


def write_pieces(path: Path, pieces: Iterable[bytes], *, mode: int = 0o600) -> int:
    """Write all pieces beside `path`, then put the file in place; return its size in bytes.

    Raises DiskFullError; whatever goes wrong, no part of the file remains.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        with durable.translated():
            # No fchmod: a FAT stick refuses modes that it cannot keep.
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            try:
                size = _copy(pieces, descriptor)
            finally:
                os.close(descriptor)
        refuse_existing(path)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    durable.sync_folder(path.parent)
    return size


def _copy(pieces: Iterable[bytes], descriptor: int) -> int:
    size = 0
    for piece in pieces:
        view = memoryview(piece)
        size += len(view)
        while view:
            view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)
    return size
