"""Reads a bundle from a medium that may be hostile, failing or pulled out.

Guarantees: only regular files are opened, below one folder, without following a link; every
name asked for comes from the caller, never from the medium; a target is read once, and what is
hashed is what is written. A failed copy leaves no file.
Not here: whether the names and digests asked for are the signed ones (`trust`, `manifest`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance import durable
from appliance.bundles.manifest import PLAIN_NAME, VerifiedTarget
from appliance.bundles.refusals import ContentError, LayoutError, MediumError
from appliance.errors import DiskFullError

CHUNK = 1_048_576
MAX_ENTRIES = 16_384
MAX_METADATA_BYTES = 33_554_432
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking, because opening a FIFO would otherwise wait for a writer that never comes.
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Medium:
    """An open bundle folder."""

    def __init__(self, descriptor: int) -> None:
        self._root = descriptor

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path) -> Iterator[Medium]:
        """Yield the bundle in `folder`; raise MediumError when there is none."""
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise MediumError(f"{folder} cannot be opened as a folder: {error.strerror}") from error
        try:
            yield cls(descriptor)
        finally:
            os.close(descriptor)

    def metadata(self, limit_of: Callable[[str], int]) -> dict[str, bytes]:
        """Read every file under `metadata/` once; `limit_of(name)` bounds each, or refuses it."""
        found: dict[str, bytes] = {}
        with self._folder("metadata") as folder:
            for name in _names(folder):
                with _regular(folder, name, f"metadata/{name}") as descriptor:
                    found[name] = _read_small(descriptor, limit_of(name), f"metadata/{name}")
                if sum(map(len, found.values())) > MAX_METADATA_BYTES:
                    raise LayoutError(f"the metadata exceeds {MAX_METADATA_BYTES} bytes")
        return found

    def files(self) -> frozenset[str]:
        """Return the paths of all files below `targets/`; raise LayoutError for other things."""
        stray = set(self._top()) - {"metadata", "targets"}
        if stray:
            raise LayoutError(f"the bundle holds {sorted(stray)[0]!r}, which was not signed")
        found: set[str] = set()
        with self._folder("targets") as targets:
            for name in _names(targets):
                # A name may hold anything, even what steers a terminal: shown only escaped.
                if PLAIN_NAME.fullmatch(name) is None:
                    raise LayoutError(f"targets/{name!r} was not signed")
                with _subfolder(targets, name, f"targets/{name}") as folder:
                    # An empty folder counts as one nameless file, which nobody signs.
                    found.update(f"{name}/{entry}" for entry in _names(folder) or [""])
                if len(found) > MAX_ENTRIES:
                    raise LayoutError(f"the bundle holds more than {MAX_ENTRIES} files")
        return frozenset(found)

    def copy(self, target: VerifiedTarget, destination: int, done: Callable[[int], None]) -> None:
        """Read a target once into the open file `destination`, to its end on the disk.

        Raises ContentError unless length and digest are the signed ones, and stops reading at
        the first excess byte. `done(n)` is called after every n bytes.
        """
        folder_name, _, name = target.stored_path.partition("/")
        where = f"targets/{target.stored_path}"
        with (
            self._folder("targets") as targets,
            _subfolder(targets, folder_name, f"targets/{folder_name}") as folder,
            _regular(folder, name, where) as source,
        ):
            _check_length(os.fstat(source).st_size, target.length, where)
            found = _stream(source, destination, target.length, where, done)
        if found != target.sha256:
            raise ContentError(f"{where} has the SHA-256 {found}, which is not the signed one")
        with written():
            os.fsync(destination)

    def _top(self) -> list[str]:
        return _names(self._root)

    def _folder(self, name: str) -> contextlib.AbstractContextManager[int]:
        return _subfolder(self._root, name, name)


@contextlib.contextmanager
def reserved(path: Path, length: int) -> Iterator[int]:
    """Yield a descriptor of the new read-only file `path` with room for `length` bytes.

    Read-only from the start, so that no later change of mode has to be made durable. The file is
    removed when the block raises.
    """
    try:
        with written(), durable.open_new(path, 0o444) as descriptor:
            os.posix_fallocate(descriptor, 0, length)
            yield descriptor
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def written() -> Iterator[None]:
    """Turn 'no space' and 'file too large' of the appliance's own disk into DiskFullError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFullError(
                "there is no room for the model; nothing was imported",
                hint="free space on the disk that holds the state folder, then import again",
            ) from error
        raise


def file_digest(path: Path) -> str:
    """Return the SHA-256 in hex of a file that is ours, reading it once."""
    descriptor = os.open(path, OPEN_FILE)
    with open(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stream(
    source: int, destination: int, length: int, where: str, done: Callable[[int], None]
) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK))
    position = 0
    while True:
        # One byte more than is due, so that a file that grew is noticed and read no further.
        with _readable(where):
            count = os.readv(source, [buffer[: min(CHUNK, length - position + 1)]])
        if count == 0:
            break
        position += count
        if position > length:
            raise ContentError(f"{where} is longer than the {length} bytes that were signed")
        digest.update(buffer[:count])
        with written():
            _write_all(destination, buffer[:count])
        done(count)
    _check_length(position, length, where)
    return digest.hexdigest()


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _check_length(found: int, signed: int, where: str) -> None:
    if found != signed:
        raise ContentError(f"{where} has {found} bytes, and {signed} were signed")


def _read_small(descriptor: int, limit: int, where: str) -> bytes:
    with _readable(where), open(descriptor, "rb", closefd=False) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise LayoutError(f"{where} is larger than {limit} bytes")
    return data


def _names(descriptor: int) -> list[str]:
    with _readable("the medium"), os.scandir(descriptor) as entries:
        names = []
        for entry in entries:
            names.append(entry.name)
            if len(names) > MAX_ENTRIES:
                raise LayoutError(f"a folder of the bundle has more than {MAX_ENTRIES} entries")
    return sorted(names)


@contextlib.contextmanager
def _subfolder(parent: int, name: str, where: str) -> Iterator[int]:
    try:
        descriptor = os.open(name, OPEN_FOLDER, dir_fd=parent)
    except OSError as error:
        raise _opening(error, where, "folder") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _regular(parent: int, name: str, where: str) -> Iterator[int]:
    """Yield a descriptor of a plain file: one name, no set-user-id, nothing special.

    Looked at before opening too, because opening a device can have effects.
    """
    try:
        _check_plain(os.stat(name, dir_fd=parent, follow_symlinks=False), where)
        descriptor = os.open(name, OPEN_FILE, dir_fd=parent)
    except OSError as error:
        raise _opening(error, where, "file") from error
    try:
        _check_plain(os.fstat(descriptor), where)
        yield descriptor
    finally:
        os.close(descriptor)


def _check_plain(found: os.stat_result, where: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise LayoutError(f"{where} is not a plain file")
    if found.st_nlink != 1:
        raise LayoutError(f"{where} is a hard link: the file has {found.st_nlink} names")
    if found.st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise LayoutError(f"{where} carries a set-user-id or set-group-id mark")


def _opening(error: OSError, where: str, kind: str) -> Exception:
    if error.errno == errno.ENOENT:
        return LayoutError(f"{where} is missing")
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EISDIR):
        return LayoutError(f"{where} is not a plain {kind}")
    return MediumError(f"{where} cannot be opened: {error.strerror}")


@contextlib.contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MediumError(f"{where} cannot be read: {error.strerror}") from error
