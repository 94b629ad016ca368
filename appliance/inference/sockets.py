"""Sockets in a folder, by the digest of the model that answers there.

Guarantee: an address is short whatever the folder's path is. A Unix socket's address has at most
107 bytes (Linux sockaddr_un), so the folder is held open and named by its descriptor.
Not here: who listens.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from appliance.errors import EngineDownError

# Enough of a digest to tell the models of one library apart; the request names all of it.
NAME_DIGITS = 16


def socket_name(digest: str) -> str:
    """Return the file name of a model's socket."""
    return f"{digest[:NAME_DIGITS]}.sock"


def make_folder(path: Path, *, shared: bool) -> None:
    """Make a folder of sockets, or leave it; only its owner and, if shared, its group enter it."""
    path.mkdir(mode=0o700, exist_ok=True)
    if shared:
        path.chmod(0o750)  # mkdir's mode is narrowed by the umask


class SocketFolder:
    """A folder of sockets; it is opened when it is first needed, and may be made later.

    One that was removed and made again is found again, also by addresses given out before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._lock = threading.Lock()

    def address(self, digest: str) -> Path:
        """Return where a model's process listens; raise EngineDownError without the folder."""
        self.follow()
        return Path(f"/proc/self/fd/{self._descriptor}") / socket_name(digest)

    def follow(self) -> None:
        """Let all addresses lead to the folder as it is now; raise EngineDownError without it."""
        with self._lock:
            try:
                self._follow()
            except OSError as error:
                raise EngineDownError("the engine is not running") from error

    def _follow(self) -> None:
        """Hold what the path leads to now, under the number that is in use already."""
        held = self._descriptor
        if held is not None and os.path.samestat(os.stat(self.path), os.fstat(held)):
            return
        found = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if held is None:
            self._descriptor = found
        else:
            os.dup2(found, held, inheritable=False)
            os.close(found)

    def close(self) -> None:
        """Let go of the folder; addresses that were given out lead nowhere from now on."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
