"""Writes that survive a power cut, and locks that keep a second writer out.

A file is either the old one or the whole new one, never half of it: write beside it, fsync the
file, rename over, fsync the folder (POSIX.1-2017 rename; fsync of the folder makes the name
itself durable on ext4 and xfs).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from appliance.errors import ConflictError, DiskFullError


def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` with `data` durably and atomically, with exactly the given mode.

    Raises DiskFullError when there is no room; the old file is then untouched.
    """
    with _written_beside(path, data, mode) as temporary:
        temporary.replace(path)
    sync_folder(path.parent)


def create(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file that must not exist yet; raise ConflictError when it does.

    Of two that create the same file at once, one alone succeeds: a link never replaces.
    """
    with _written_beside(path, data, mode) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError as error:
            raise ConflictError(
                f"{path} exists already", hint="it was left as it is; move it away first"
            ) from error
    sync_folder(path.parent)


def unfinished(folder: Path, name: str = "*") -> list[Path]:
    """Return what a crash in the middle of `write` or `create` of `name` left in a folder."""
    return sorted(folder.glob(f".{name}.{'[0-9a-f]' * 8}.new"))


def sync_folder(folder: Path) -> None:
    """Make names created in, renamed in or removed from `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def open_new(path: Path, mode: int) -> Iterator[int]:
    """Yield a descriptor of a new file with exactly `mode`, whatever the umask is."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, mode)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _written_beside(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """Yield a durable file with `data` next to `path`; it is gone afterwards unless renamed."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        with translated(), open_new(temporary, mode) as descriptor:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; raise ConflictError if another does.

    The kernel drops the lock when the process dies, however it dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                f"{what} is in use by another process", hint="stop the other process first"
            ) from error
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Tell whether another process holds the lock file `path` right now."""
    try:
        with exclusive(path, str(path)):
            return False
    except ConflictError:
        return True


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the kernel's 'no space' into DiskFullError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError("the disk is full") from error
        raise
