"""One real model's process: gunicorn, our app, a tiny model, a Unix socket.

Nothing is simulated but the weights. `EngineProcess` starts it and waits until it answers. For
the manager, which holds such processes, see `managed_engine`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import httpx

from appliance.config import Engine as Settings
from tests.simulators.tiny_gguf import write_tiny_gguf

PATIENCE_S = 60.0
THREADS = 16


def put_model(library: Path, *, seed: int = 0, activate: bool = True, **shape: Any) -> str:
    """Write a tiny model into a library folder as an import would; return its digest."""
    draft = library / "draft"
    digest = write_tiny_gguf(draft, seed, **shape)
    draft.rename(library / f"{digest}.gguf")
    if activate:
        activate_model(library, digest)
    return digest


def model_entry(digest: str, **more: object) -> dict[str, object]:
    """Return what `active.json` says of a tiny model."""
    return {"name": "tiny", "version": "1", "digest": digest, "context_tokens": 0, **more}


def activate_model(library: Path, digest: str, **more: object) -> None:
    """Name a model as the active one, by a rename as the library does."""
    draft = library / "active.draft"
    draft.write_text(json.dumps({"model": model_entry(digest, **more)}))
    draft.rename(library / "active.json")


class EngineProcess:
    """A running engine. Its folder is short, since a socket's path has at most 107 bytes."""

    def __init__(self, **settings: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="eng-"))
        self.library = self.folder / "models"
        self.library.mkdir()
        self.socket = self.folder / "engine.sock"
        self._settings = {"threads": 1, **settings}
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)),
            base_url="http://engine",
            timeout=PATIENCE_S,
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, until: str = "ready") -> Self:
        """Start and wait for a state; the log is in `engine.log`."""
        arguments = [str(self.library), str(self.socket), json.dumps(self._settings)]
        with (self.folder / "engine.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.simulators.engine_process", *arguments],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait(state=until)
        return self

    def wait(self, **wanted: object) -> dict[str, Any]:
        """Wait until the status has all the given values, and return it."""
        deadline = time.monotonic() + PATIENCE_S
        status: dict[str, Any] = {}
        while time.monotonic() < deadline:
            try:
                status = self.get("/status").json()
            except httpx.TransportError:
                status = {}
            if status and all(status[key] == value for key, value in wanted.items()):
                return status
            time.sleep(0.02)
        raise AssertionError(f"{wanted} did not come; last {status}; log:\n{self.log()}")

    def log(self) -> str:
        return (self.folder / "engine.log").read_text()

    def get(self, path: str) -> httpx.Response:
        return self._client.get(path)

    def post(self, path: str, body: object) -> httpx.Response:
        return self._client.post(path, content=json.dumps(body).encode())

    def kill(self) -> None:
        """End gunicorn and its worker at once, as the kernel would for lack of memory."""
        if self.process is not None:
            _signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE_S)

    def close(self) -> None:
        self._client.close()
        self.kill()
        shutil.rmtree(self.folder)


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)


def main(library: str, socket: str, settings: str) -> None:
    """Serve the active model until told to stop, much as the manager lets a model be served."""
    from gunicorn.app.base import BaseApplication

    from appliance.llama.library_view import read_active
    from appliance.llama.server import create_app

    active, *_ = read_active(Path(library))

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            options = {
                "bind": f"unix:{socket}",
                "workers": 1,
                "worker_class": "gthread",
                "threads": THREADS,
                "timeout": 0,
                "control_socket_disable": True,
            }
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return create_app(Path(library), active, Settings(**json.loads(settings)))

    Server().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
