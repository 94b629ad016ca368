"""Room kept on the disk, so that the record can still state that the disk is full.

The file holds nothing; its blocks are really allocated (posix_fallocate), so giving it up frees
exactly them. Other programs can take the freed room first: then even the last words fail, and
appends are refused all the same.
"""

from __future__ import annotations

import os
from pathlib import Path

from appliance import durable


class Reserve:
    """A file of `size` allocated bytes beside the record."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._size = size

    def held(self) -> bool:
        """Tell whether the whole reserve is there."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return False
        return status.st_size >= self._size and status.st_blocks * 512 >= self._size

    def take(self) -> None:
        """Allocate the reserve; raise DiskFullError unless as much again is free beside it.

        Without that margin a nearly full disk would flip between full and not full, with a
        line in the record each time.
        """
        with durable.translated():
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, 2 * self._size)
                os.ftruncate(descriptor, self._size)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, 0)
                raise
            finally:
                os.close(descriptor)

    def release(self) -> None:
        """Give the room back to the disk."""
        if self.path.exists():
            os.truncate(self.path, 0)

    def room(self) -> int:
        """Return how many bytes are free for this user on the disk of the record."""
        status = os.statvfs(self.path.parent)
        return status.f_bavail * status.f_frsize
