"""A checkpoint as a file on a stick or a write-once medium: new, whole, and read back.

Such media refuse things that a disk allows: FAT has no links and no modes, a write-once folder
no second write. So the file is put in place as a whole (`durable.create_portable`), and then read
again from the medium.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from appliance import durable
from appliance.audit.checkpoint import Checkpoint
from appliance.errors import ConflictError, NotFoundError, UnavailableError, VerificationError

SUFFIX = ".checkpoint"


def plain(name: str) -> str:
    """Return a name that every file system takes: slashes and all else unusual become `-`."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip(".-")[:150] or "record"


def name_of(checkpoint: Checkpoint) -> str:
    """Return the file name: `hospital-audit-0123456789abcdef-1000.checkpoint`."""
    return f"{plain(checkpoint.origin)}-{checkpoint.size}{SUFFIX}"


def write_new(folder: Path, checkpoint: Checkpoint, note: str) -> Path:
    """Write the note durably into `folder`, read it back, and return where it is.

    Raises NotFoundError without the folder, ConflictError when the file exists,
    VerificationError when the medium gives back other bytes, and DiskFullError or
    UnavailableError when it cannot be written.
    """
    if not folder.is_dir():
        raise NotFoundError(
            f"there is no folder {folder}", hint="mount the medium, or name another folder"
        )
    path, data = folder / name_of(checkpoint), note.encode()
    try:
        durable.create_portable(path, [data], mode=0o644)
        found = _read_back(path)
    except ConflictError as error:
        error.hint = "a checkpoint of this size was written before; the next one gets another name"
        raise
    except OSError as error:
        raise UnavailableError(
            f"{folder} cannot be written: {(error.strerror or type(error).__name__).lower()}",
            hint="check the medium and who may write there, then try again",
        ) from error
    if found != data:
        # What is no checkpoint would stop the next start, were it to stay in an anchor folder.
        with contextlib.suppress(OSError):
            path.unlink()
        raise VerificationError(
            f"{path} does not hold what was written", hint="the medium is bad: use another one"
        )
    return path


def _read_back(path: Path) -> bytes:
    """Return the file's bytes, from the medium where the kernel lets go of its copy."""
    with path.open("rb") as file:
        with contextlib.suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()
