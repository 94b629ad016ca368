"""The model library as an engine of others needs it: which model, its bytes, its texts.

Guarantee: weights and templates are regular files named by their SHA-256, opened without
following a link; a template is used only when its content has the digest that was signed.
Not here: hashing the weights, which whoever sends them on does on the way (`ollama_import`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from appliance.errors import EngineUnavailableError
from appliance.inference.engine import EngineModel
from appliance.inference.vocabulary import Vocabulary, read_vocabulary

ACTIVE_FILE = "active.json"
# The model that answers who names none; others that are active as well.
DEFAULT_KEY = "model"
MORE_KEYS = ("beside",)
MAX_ACTIVE_BYTES = 65_536
MAX_TEMPLATE_BYTES = 262_144
_DIGEST = re.compile("[0-9a-f]{64}")


class LibraryFolder:
    """A library at `path`; read anew whenever it is asked, but for vocabularies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._vocabularies: dict[str, Vocabulary] = {}

    def active(self) -> tuple[EngineModel, ...]:
        """Return the active models, the default first, none when none is.

        Raises EngineUnavailableError when `active.json` makes no sense.
        """
        if not (self.path / ACTIVE_FILE).exists():
            return ()
        try:
            value = dict(json.loads(self._small(ACTIVE_FILE, MAX_ACTIVE_BYTES)))
            entries = [value[DEFAULT_KEY], *(value[key] for key in MORE_KEYS if key in value)]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise EngineUnavailableError(
                f"{ACTIVE_FILE} does not name a model", hint="activate a model again"
            ) from error
        return tuple(map(EngineModel.parse, entries))

    def template(self, model: EngineModel) -> str:
        """Return the chat template that was signed with the model, or the weights' own."""
        wanted = model.template_sha256
        if wanted is None:
            return self.vocabulary(model.digest).template
        data = self._small(f"{wanted}.template", MAX_TEMPLATE_BYTES)
        if hashlib.sha256(data).hexdigest() != wanted:
            raise EngineUnavailableError(
                "the chat template is not what was signed; nothing was asked",
                hint="keep the files as they are and call the person in charge of security",
            )
        return data.decode("utf-8", "replace")

    def vocabulary(self, digest: str) -> Vocabulary:
        """Return the texts of a model's weights."""
        with self._lock:
            if digest not in self._vocabularies:
                with self.weights(digest) as file:
                    self._vocabularies[digest] = read_vocabulary(file)
            return self._vocabularies[digest]

    @contextlib.contextmanager
    def weights(self, digest: str) -> Iterator[BinaryIO]:
        """Yield the open weights; raise EngineUnavailableError when they are not there."""
        if not _DIGEST.fullmatch(digest):
            raise EngineUnavailableError("a model is named by its SHA-256; nothing was asked")
        with self._opened(f"{digest}.gguf") as file:
            yield file

    def _small(self, name: str, most: int) -> bytes:
        with self._opened(name) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise EngineUnavailableError(f"{name} in the library is too large")
        return data

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[BinaryIO]:
        # O_NONBLOCK: opening a FIFO that someone put there must not hang the gateway.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path / name, flags)
        except OSError as error:
            raise EngineUnavailableError(
                f"{name} cannot be opened in the library ({error.strerror})",
                hint="import the model again, or activate another",
            ) from error
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise EngineUnavailableError(f"{name} in the library is not a regular file")
            yield file
