"""A checkpoint as a file on a stick or a write-once medium: new, whole, and read back.

Such media refuse things that a disk allows: FAT has no links and no modes, a write-once folder
no second write. So the file is written beside, put in place by a link or else by a rename, and
then read again from the medium.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path

from appliance import durable
from appliance.audit.checkpoint import Checkpoint
from appliance.errors import ConflictError, NotFoundError, UnavailableError, VerificationError

SUFFIX = ".checkpoint"
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})


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
        with durable.translated():
            _put(path, data)
            found = _read_back(path)
    except OSError as error:
        raise UnavailableError(
            f"{folder} cannot be written: {(error.strerror or type(error).__name__).lower()}",
            hint="check the medium and who may write there; nothing was left on it",
        ) from error
    if found != data:
        raise VerificationError(
            f"{path} does not hold what was written", hint="the medium is bad: use another one"
        )
    return path


def _put(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    durable.sync_folder(path.parent)


def _place(temporary: Path, path: Path) -> None:
    """Give the file its name without ever replacing one."""
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise _exists(path) from error
        temporary.rename(path)


def _exists(path: Path) -> ConflictError:
    return ConflictError(
        f"{path} exists already and was left as it is",
        hint="a checkpoint of this size was written before; the next one gets another name",
    )


def _read_back(path: Path) -> bytes:
    """Return the file's bytes, from the medium where the kernel lets go of its copy."""
    with path.open("rb") as file:
        with contextlib.suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()
