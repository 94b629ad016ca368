"""Which models may be asked where the engine itself cannot tell: those of others' servers.

Guarantee: a model is allowed while the library names it as active, or after it was prepared for
that; never once it was stopped, until the library names it again. Kept in memory: another
process that asks the same server goes by the library alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator

from appliance.errors import EngineUnavailableError
from appliance.inference.engine import (
    EngineModel,
    Finished,
    Generation,
    Message,
    Progress,
    Sampling,
)
from appliance.inference.library_folder import LibraryFolder

PROBE = (Message("user", "Hello"),)
ONE_TOKEN = Sampling(max_tokens=1, temperature=0.0)


class Allowed:
    """The models of `library` that may be asked."""

    def __init__(self, library: LibraryFolder) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._prepared: dict[str, EngineModel] = {}
        self._stopped: frozenset[str] = frozenset()

    def model(self, digest: str | None) -> EngineModel:
        """Return the named model, or the default one; raise EngineUnavailableError."""
        active = self._library.active()
        if digest is None:
            if not active:
                raise EngineUnavailableError("no model is active")
            digest = active[0].digest
        self.require_not_stopped(digest, "nothing was asked")
        with self._lock:
            known = {**self._prepared, **{model.digest: model for model in active}}
        if digest not in known:
            raise EngineUnavailableError("this model is not active; nothing was asked")
        return known[digest]

    def require_not_stopped(self, digest: str, consequence: str) -> None:
        """Raise EngineUnavailableError when the model was stopped."""
        if digest in self._stopped:
            raise EngineUnavailableError(f"the model was withdrawn; {consequence}")

    def prepare(
        self,
        model: EngineModel,
        generate: Callable[[Generation], Generator[Progress, None, None]],
    ) -> None:
        """Allow a model that writes a first token; when this raises, nothing changed."""
        with self._lock:
            before, stopped = self._prepared.get(model.digest), self._stopped
            self._prepared[model.digest] = model
            self._stopped -= {model.digest}
        try:
            *_, last = generate(Generation(model.digest, PROBE, ONE_TOKEN))
            _require_end(last)
        except BaseException:
            with self._lock:
                self._prepared.pop(model.digest)
                if before is not None:
                    self._prepared[model.digest] = before
                self._stopped |= stopped & {model.digest}
            raise

    def release(self, digest: str) -> None:
        with self._lock:
            self._prepared.pop(digest, None)

    def stop(self, digest: str) -> None:
        with self._lock:
            self._prepared.pop(digest, None)
            self._stopped |= {digest}

    def follow(self) -> tuple[EngineModel, ...]:
        """Allow again what the library names, and return it."""
        active = self._library.active()
        with self._lock:
            self._stopped -= {model.digest for model in active}
        return active

    def all(self) -> frozenset[str]:
        """Return the digests of all models that may be asked."""
        active = {model.digest for model in self._library.active()}
        with self._lock:
            return frozenset(active | set(self._prepared)) - self._stopped


def _require_end(last: Progress) -> None:
    if not isinstance(last, Finished):
        raise EngineUnavailableError("the model did not finish its first answer")
