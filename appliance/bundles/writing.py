"""Writes to the appliance's own disk, in step with the disk, and what a full one is called.

Not here: which files are written, and reading a medium (`media`).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from appliance.errors import DiskFullError

WINDOW_BYTES = 8_388_608
WINDOWS_BEHIND = 4


class Writer:
    """Writes a stream to an open file, and has the disk begin at once.

    Left to itself the kernel would gather gigabytes before it begins, and all that memory.
    """

    def __init__(self, descriptor: int, position: int) -> None:
        self._descriptor = descriptor
        self._position = position
        self._flushed = position

    def __call__(self, data: memoryview) -> None:
        with written():
            while data:
                count = os.pwrite(self._descriptor, data, self._position)
                data = data[count:]
                self._position += count
            while self._position - self._flushed >= WINDOW_BYTES:
                # "Not needed any more" starts the writing of what is dirty, and drops what is
                # clean: said twice, at once and again when the disk has had time.
                for start in (self._flushed, self._flushed - WINDOWS_BEHIND * WINDOW_BYTES):
                    if start >= 0:
                        os.posix_fadvise(
                            self._descriptor, start, WINDOW_BYTES, os.POSIX_FADV_DONTNEED
                        )
                self._flushed += WINDOW_BYTES


@contextlib.contextmanager
def written() -> Iterator[None]:
    """Turn 'no space' and 'file too large' of the appliance's own disk into DiskFullError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise no_room() from error
        raise


def no_room(needed: int | None = None, usable: int = 0) -> DiskFullError:
    """Return the error of a disk without room; with how many bytes are needed, where known."""
    why = ""
    if needed is not None:
        why = f": it needs {needed / 1e9:.2f} GB, and {max(usable, 0) / 1e9:.2f} GB can be used"
    return DiskFullError(
        f"there is no room for the model{why}; nothing was imported",
        hint="free space on the disk that holds the state folder, then import again",
    )
