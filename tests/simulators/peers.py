"""Servers of others, run for real: where their programs are, and one of them as a process.

A test that needs one which is not built is skipped, with the command that builds it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.simulators.engine_process import put_model

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("APPLIANCE_PEERS", ROOT / "build/peers/bin"))
PATIENCE_S = 60.0


def peer(name: str) -> Path:
    """Return the program, or skip the test that needs it."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name} is not built here: run installer/peers/build.sh")
    return path


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Peer:
    """A server on a port of this machine, with a library folder of its own."""

    def __init__(self, **shape: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="peer-"))
        self.library = self.folder / "models"
        self.library.mkdir()
        self.digest = put_model(self.library, **shape)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def launch(
        self, command: Sequence[str | Path], environment: Mapping[str, str], ready: str
    ) -> None:
        """Start the program and wait until `ready` answers."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        with (self.folder / "peer.log").open("ab") as log:
            self.process = subprocess.Popen(
                # It ends with the tests, also when they are killed.
                ["/usr/bin/setpriv", "--pdeathsig", "KILL", *map(str, command)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"HOME": str(home), "PATH": os.defpath, **environment},
            )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(self.url + ready, trust_env=False).is_success:
                    return
            time.sleep(0.02)
        raise AssertionError(f"the server did not start; its log:\n{self.log()}")

    def log(self) -> str:
        return (self.folder / "peer.log").read_text(errors="replace")

    def kill(self) -> None:
        """End the server and what it started at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE_S)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)
