"""Reads a bundle from a medium that may be hostile, failing or pulled out.

Guarantees: only regular files are opened, below one folder, without following a link; every
name asked for comes from the caller, never from the medium; a target is read once, and reading
stops at the first byte too many. Nothing below `returns/` is ever read.
Not here: whether the names and digests asked for are the signed ones (`trust`, `manifest`), and
where the bytes go (`staging`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance import durable
from appliance.bundles.manifest import PLAIN_NAME, VerifiedTarget
from appliance.bundles.pipeline import Pipeline
from appliance.bundles.refusals import ContentError, LayoutError, MediumError

RETURNS = "returns"
RETURN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
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
        """Return the paths of all files below `targets/`; raise LayoutError for other things.

        No such folder is no file: a bundle may bring a newer list and nothing else.
        """
        top = set(_names(self._root))
        stray = top - {"metadata", "targets", RETURNS}
        if stray:
            raise LayoutError(f"the bundle holds {sorted(stray)[0]!r}, which was not signed")
        if "targets" not in top:
            return frozenset()
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

    @contextlib.contextmanager
    def opened(self, target: VerifiedTarget) -> Iterator[int]:
        """Yield a descriptor of a target whose length is the signed one; raise ContentError."""
        folder_name, _, name = target.stored_path.partition("/")
        where = place_of(target)
        with (
            self._folder("targets") as targets,
            _subfolder(targets, folder_name, f"targets/{folder_name}") as folder,
            _regular(folder, name, where) as source,
        ):
            _check_length(os.fstat(source).st_size, target.length, where)
            yield source

    def read(self, target: VerifiedTarget) -> bytes:
        """Return the content of a small target once; raise ContentError unless as signed."""
        where = place_of(target)
        with self.opened(target) as source:
            with _readable(where), open(source, "rb", closefd=False) as file:
                data = file.read(target.length + 1)
            _check_length(len(data), target.length, where)
        check_digest(hashlib.sha256(data).hexdigest(), target.sha256, where)
        return data

    def _folder(self, name: str) -> contextlib.AbstractContextManager[int]:
        return _subfolder(self._root, name, name)


def pour(
    source: int,
    target: VerifiedTarget,
    pipeline: Pipeline,
    done: Callable[[int], None],
    skip: int = 0,
) -> None:
    """Send a target once through the pipeline, from byte `skip` to its end.

    `source` comes from `Medium.opened`; `done(n)` is called after every n bytes. Raises
    ContentError when the file ends early or does not end where it should, MediumError when it
    cannot be read. Digests are for the pipeline's workers to judge.
    """
    where = place_of(target)
    position = skip
    with _readable(where):
        os.lseek(source, skip, os.SEEK_SET)
        os.posix_fadvise(source, skip, 0, os.POSIX_FADV_SEQUENTIAL)
    while position < target.length:
        room = pipeline.room()
        with _readable(where):
            count = os.readv(source, [room[: min(len(room), target.length - position)]])
        if count == 0:
            break
        pipeline.pass_on(count)
        position += count
        done(count)
    with _readable(where):
        # One byte more than is due, so that a file that grew is noticed and read no further.
        excess = os.read(source, 1)
        # What was read is not needed again; the machine has better use for its memory.
        os.posix_fadvise(source, 0, 0, os.POSIX_FADV_DONTNEED)
    if excess:
        raise ContentError(f"{where} is longer than the {target.length} bytes that were signed")
    _check_length(position, target.length, where)


def leave_checkpoint(folder: Path, name: str, data: bytes) -> None:
    """Write `returns/<name>` on the medium in `folder`, replacing one of before.

    Follows no link and opens nothing that lies there already. Raises OSError where the medium
    cannot be written, ValueError for a name that is no plain one.
    """
    if RETURN_NAME.fullmatch(name) is None:
        raise ValueError("the name of a checkpoint's file must be plain")
    with contextlib.ExitStack() as stack:
        root = _held(stack, os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        with contextlib.suppress(FileExistsError):
            os.mkdir(RETURNS, 0o755, dir_fd=root)
        returns = _held(stack, os.open(RETURNS, OPEN_FOLDER, dir_fd=root))
        draft = f".{name}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=returns)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = _held(stack, os.open(draft, flags, 0o644, dir_fd=returns))
        durable.write_all(file, data)
        os.fsync(file)
        os.replace(draft, name, src_dir_fd=returns, dst_dir_fd=returns)
        os.fsync(returns)


def place_of(target: VerifiedTarget) -> str:
    """Return where a target lies in a bundle, for people."""
    return f"targets/{target.stored_path}"


def file_digest(path: Path) -> str:
    """Return the SHA-256 in hex of a file that is ours, reading it once."""
    descriptor = os.open(path, OPEN_FILE)
    with open(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(found: str, signed: str, where: str) -> None:
    """Raise ContentError unless the digests (hex) are equal."""
    if found != signed:
        raise ContentError(f"{where} has the SHA-256 {found}, which is not the signed one")


def _held(stack: contextlib.ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


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
        return LayoutError(
            f"{where} is missing; a bundle is the folder that holds metadata and targets"
            if where == "metadata"
            else f"{where} is missing"
        )
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EISDIR):
        return LayoutError(f"{where} is not a plain {kind}")
    return MediumError(f"{where} cannot be opened: {error.strerror}")


@contextlib.contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MediumError(f"{where} cannot be read: {error.strerror}") from error
