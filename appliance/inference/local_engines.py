"""`Engine` over this machine's own processes: each question goes to the socket of its model.

Guarantee: a question reaches only the process that holds exactly the digest it names, while any
other model comes or goes. There is no proxy in between: the manager is asked about models, never
for an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path

from appliance.errors import EngineDownError
from appliance.inference.engine import (
    Embeddings,
    EngineModel,
    EngineStatus,
    Generation,
    Message,
    Progress,
)
from appliance.inference.openai_engine import OpenAIEngine
from appliance.inference.sockets import SocketFolder


class LocalEngines:
    """Speaks to the manager at `control` and to the models' sockets in `folder`."""

    def __init__(self, control: Path, folder: Path) -> None:
        self._control = OpenAIEngine(uds=control)
        self._sockets = SocketFolder(folder)
        self._models: dict[str, OpenAIEngine] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            for engine in (self._control, *self._models.values()):
                engine.close()
            self._models.clear()
        self._sockets.close()

    def status(self, digest: str | None = None) -> EngineStatus:
        """Return how the active model stands, or the named one; never raises."""
        if digest is None:
            return self._control.status()
        try:
            found = self._of(digest).status()
        except EngineDownError:
            found = EngineStatus("down")
        return found if found.state != "down" else self._according_to_manager(digest)

    def count_tokens(self, digest: str, messages: tuple[Message, ...]) -> int:
        return self._of(digest).count_tokens(digest, messages)

    def generate(self, request: Generation) -> Generator[Progress, None, None]:
        """Yield the progress of one answer; see `Engine` for the errors."""
        yield from self._of(request.digest).generate(request)

    def embed(self, digest: str, texts: tuple[str, ...], person: str = "") -> Embeddings:
        return self._of(digest).embed(digest, texts, person)

    def prepare(self, model: EngineModel) -> None:
        self._control.prepare(model)

    def release(self, digest: str) -> None:
        self._control.release(digest)

    def stop(self, digest: str) -> None:
        self._control.stop(digest)

    def reload(self) -> None:
        self._control.reload()

    def _of(self, digest: str) -> OpenAIEngine:
        """Return the client of one model; few models answer while a gateway lives."""
        with self._lock:
            self._sockets.follow()
            if digest not in self._models:
                self._models[digest] = OpenAIEngine(uds=self._sockets.address(digest))
            return self._models[digest]

    def _according_to_manager(self, digest: str) -> EngineStatus:
        """Tell a process that is being started from a model that is not held any more."""
        overall = self._control.status()
        if overall.state == "down":
            return EngineStatus("down", detail=overall.detail)
        for seat in overall.seats:
            if seat.digest == digest:
                failed = seat.state == "failed"
                return EngineStatus("empty" if failed else "loading", detail=seat.detail)
        detail = "" if overall.digest else overall.detail
        return EngineStatus("empty", detail=detail or "another model answers now; ask again")
