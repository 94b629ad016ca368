"""One model's process as its parent sees it: started, asked, ended.

Guarantee: it dies with the thread that started it, however that ends; `end` leaves neither a
process nor a socket. llama.cpp lives in there and nowhere else, so an abort of it ends one model.
Not here: when to start and when to end (`manager`, `trial`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.config import Engine as Settings
from appliance.inference.engine import EngineModel
from appliance.inference.openai_engine import OpenAIEngine
from appliance.inference.sockets import SocketFolder, make_folder, socket_name

# -P: a folder `appliance` where the command was typed must not be run.
PROGRAM = (sys.executable, "-P", "-m", "appliance.cli.main")


@dataclass(frozen=True)
class Site:
    """Where models come from and where their sockets go; `quiet` drops what they print."""

    state: Path
    library: Path
    sockets: SocketFolder
    settings: Settings
    quiet: bool = False


class ModelProcess:
    """A running `appliance serve model`; to be made in the thread that will outlive it."""

    def __init__(self, site: Site, model: EngineModel) -> None:
        """Start it; raises OSError when the system has no room for a process."""
        self.model = model
        # Also when somebody removed it while the engine runs.
        make_folder(site.sockets.path, shared=bool(site.settings.socket_folder))
        self._socket = site.sockets.path / socket_name(model.digest)
        self.engine = OpenAIEngine(uds=site.sockets.address(model.digest))
        given = {
            "model": model.to_json(),
            "library": str(site.library),
            "sockets": str(site.sockets.path),
            "settings": vars(site.settings),
        }
        command = [*PROGRAM, "--state", str(site.state), "serve", "model"]
        output = subprocess.DEVNULL if site.quiet else None
        self._process = subprocess.Popen(
            [*command, "--parent", str(os.getpid()), "--given", json.dumps(given)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A group of its own, so that it ends whole; and Ctrl+C is for its parent alone.
            start_new_session=True,
        )

    @property
    def ended_with(self) -> int | None:
        """The exit code of a process that ended by itself; null while it lives."""
        return self._process.poll()

    @property
    def has_socket(self) -> bool:
        """Whether its socket is there; without it, nobody reaches a process that is well."""
        return self._socket.exists()

    def use_threads(self, count: int) -> None:
        """Let it compute with so many threads from its next step on."""
        self.engine.use_threads(count)

    def end(self) -> None:
        """End it at once with everything it started, running answers too."""
        # One that ended by itself took the rest along, and its number may be another's by now.
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.engine.close()
        self._socket.unlink(missing_ok=True)


@contextlib.contextmanager
def ended_after(process: ModelProcess) -> Iterator[ModelProcess]:
    """Yield a process and end it, whatever happens in between."""
    try:
        yield process
    finally:
        process.end()
