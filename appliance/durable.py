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
from collections.abc import Iterable, Iterator
from pathlib import Path

from appliance.errors import ConflictError, DiskFullError

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})


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


def create_portable(path: Path, pieces: Iterable[bytes], *, mode: int = 0o600) -> int:
    """Write a file that must not exist yet, also onto a stick; return its size in bytes.

    FAT has no links and refuses modes that it cannot keep, so `mode` is a wish and the name is
    given by a link or else by a rename. Raises ConflictError when the file exists, DiskFullError;
    whatever goes wrong, no part of the file remains.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        with translated():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, mode)
            try:
                size = sum(write_all(descriptor, piece) for piece in pieces)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        _place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    try:
        sync_folder(path.parent)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return size


def _place(temporary: Path, path: Path) -> None:
    """Give a finished file its name, and never replace one where links are to be had."""
    taken = ConflictError(f"{path} exists already and was left as it is", hint="name another file")
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise taken from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise taken from error
        temporary.rename(path)


def write_all(descriptor: int, data: bytes) -> int:
    """Write all of `data` to an open file, however many calls it takes; return its length."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return len(data)


def unfinished(folder: Path, name: str = "*") -> list[Path]:
    """Return what a crash in the middle of `write` or `create` of `name` left in a folder."""
    return sorted(folder.glob(f".{name}.{'[0-9a-f]' * 8}.new"))


def destroy(path: Path) -> None:
    """Overwrite a file that holds a secret and remove it; does nothing when there is none.

    A disk that keeps old blocks (an SSD, a snapshot) may keep the bytes all the same: an
    encrypted disk is the answer there.
    """
    try:
        os.chmod(path, 0o600)
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)


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
            write_all(descriptor, data)
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
