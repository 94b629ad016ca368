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


class SocketFolder:
    """A folder of sockets; it is opened when it is first needed, and may be made later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._lock = threading.Lock()

    def address(self, digest: str) -> Path:
        """Return where a model's process listens; raise EngineDownError without the folder."""
        with self._lock:
            if self._descriptor is None:
                try:
                    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
                    self._descriptor = os.open(self.path, flags)
                except OSError as error:
                    raise EngineDownError("the engine is not running") from error
            return Path(f"/proc/self/fd/{self._descriptor}") / socket_name(digest)

    def close(self) -> None:
        """Let go of the folder; addresses that were given out lead nowhere from now on."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
