"""A throw-away engine for one model: for trying it out before anybody may ask it.

Guarantee: it has a folder of its own, reads the library and nothing else, and is gone when the
block ends, however it ends. It works whether or not the appliance runs, and serves nobody else.
Not here: what is tried.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from appliance.config import Engine as Settings
from appliance.errors import EngineUnavailableError
from appliance.inference.engine import Engine, EngineModel
from appliance.inference.model_process import ModelProcess, Site, ended_after
from appliance.inference.sockets import SocketFolder

LOOK_EVERY_S = 0.05
LOAD_WITHIN_S = 900.0


@contextlib.contextmanager
def trial_engine(
    library: Path,
    model: EngineModel,
    settings: Settings | None = None,
    *,
    load_within_s: float = LOAD_WITHIN_S,
) -> Iterator[Engine]:
    """Yield an engine that answers for `model` alone, loaded and tried with one token.

    `library` is the folder of models. Raises EngineUnavailableError when it cannot be loaded.
    """
    with contextlib.ExitStack() as ending:
        # Short, and this user's alone (0700).
        folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="trial-"))
        sockets = ending.enter_context(contextlib.closing(SocketFolder(Path(folder))))
        site = Site(library.parent, library, sockets, settings or Settings(), quiet=True)
        process = ending.enter_context(ended_after(_started(site, model)))
        _await_ready(process, load_within_s)
        yield process.engine


def _started(site: Site, model: EngineModel) -> ModelProcess:
    try:
        return ModelProcess(site, model)
    except OSError as error:
        raise EngineUnavailableError(
            f"no process for trying the model could be started ({error.strerror})"
        ) from error


def _await_ready(process: ModelProcess, within_s: float) -> None:
    until = time.monotonic() + within_s
    while (status := process.engine.status()).state != "ready":
        if status.state == "empty":
            raise EngineUnavailableError(f"the model cannot answer: {status.detail}")
        if (code := process.ended_with) is not None:
            raise EngineUnavailableError(f"the model's process ended while it was loaded ({code})")
        if time.monotonic() > until:
            raise EngineUnavailableError(f"the model was not ready within {within_s:.0f} seconds")
        time.sleep(LOOK_EVERY_S)
