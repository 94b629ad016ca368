"""The real engine as the appliance starts it: the manager, and a process for each model.

Nothing is simulated but the weights. The library is a folder with tiny models and `active.json`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from appliance.inference.engine import (
    Delta,
    EngineModel,
    EngineSeat,
    EngineStatus,
    Finished,
    Generation,
    Message,
    Sampling,
)
from appliance.inference.local_engines import LocalEngines
from appliance.inference.openai_engine import OpenAIEngine
from tests.simulators.engine_process import PATIENCE_S, activate_model, model_entry, put_model

HELLO = (Message("user", "hello"),)
LONG = 131_072
PROGRAM = (sys.executable, "-P", "-m", "appliance.cli.main")


def eventually(check: Callable[[], Any]) -> Any:
    """Return the first truthy value of `check`; fail when none comes."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := check()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value


class ManagedEngine:
    """One library and the engine over it; `engine` is what the gateway would hold."""

    def __init__(self, **settings: int) -> None:
        self.state = Path(tempfile.mkdtemp(prefix="managed-"))
        self.library = self.state / "models"
        self.library.mkdir()
        self.sockets = self.state / "run" / "engines"
        self.engine = LocalEngines(self.state / "run" / "engine.sock", self.sockets)
        self._settings = {"threads": 1, **settings}
        self.process: subprocess.Popen[bytes] | None = None

    def put(self, seed: int = 0, *, active: bool = False, **shape: Any) -> str:
        """Put a tiny model into the library and return its digest."""
        return put_model(self.library, seed=seed, activate=active, **shape)

    def activate(self, digest: str, **more: object) -> None:
        """Change `active.json` as the library does, and nothing else."""
        activate_model(self.library, digest, **more)

    def model(self, digest: str, **more: Any) -> EngineModel:
        return EngineModel.parse(model_entry(digest, **more))

    def start(self, *, until: str = "ready") -> Self:
        """Start the manager and wait until the active model stands as wanted."""
        names = {f"APPLIANCE_ENGINE__{key.upper()}": str(v) for key, v in self._settings.items()}
        with (self.state / "engine.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*PROGRAM, "--state", str(self.state), "serve", "engine"],
                env={**os.environ, **names},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait(until)
        return self

    def wait(self, state: str, digest: str | None = None) -> EngineStatus:
        """Wait until the active model (or the named one) stands as wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while (status := self.engine.status(digest)).state != state:
            assert time.monotonic() < deadline, f"{status}\n{self.log()}"
            time.sleep(0.02)
        return status

    def seats(self) -> dict[str, EngineSeat]:
        """Return every model that the manager holds, by digest."""
        return {seat.digest: seat for seat in self.engine.status().seats}

    def switch(self, old: str, new: str) -> None:
        """Activate a model the way the operation does."""
        self.engine.prepare(self.model(new))
        self.activate(new)
        self.engine.release(old)

    def ask(self, digest: str, tokens: int = 8) -> Finished:
        """Return the end of a whole answer."""
        *_, end = self.engine.generate(Generation(digest, HELLO, Sampling(tokens)))
        assert isinstance(end, Finished)
        return end

    @contextlib.contextmanager
    def control(self) -> Iterator[OpenAIEngine]:
        """Yield a client of the manager's own socket."""
        with contextlib.closing(OpenAIEngine(uds=self.state / "run" / "engine.sock")) as client:
            yield client

    def pids(self, digest: str) -> list[int]:
        """Return the processes that serve one model: gunicorn's master first, then its worker."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdigit():
                    words = (folder / "cmdline").read_bytes()
                    if digest.encode() in words and str(self.state).encode() in words:
                        found.append(int(folder.name))
        return sorted(found)

    def log(self) -> str:
        return (self.state / "engine.log").read_text()

    def kill(self) -> None:
        """End gunicorn and the manager at once; the models' processes are not touched."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE_S)

    def close(self) -> None:
        self.engine.close()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
        shutil.rmtree(self.state)


@contextlib.contextmanager
def long_answer(managed: ManagedEngine, digest: str, tokens: int = LONG) -> Iterator[Any]:
    """Yield the steps of an answer that has begun."""
    request = Generation(digest, HELLO, Sampling(tokens, temperature=1.0))
    with contextlib.closing(managed.engine.generate(request)) as steps:
        for step in steps:
            if isinstance(step, Delta) and step.text:
                break
        yield steps
