"""The library's models inside Ollama: brought there by digest, looked at before each question.

Guarantees:

- What is sent is hashed on the way, and Ollama hashes what arrives; a model is made only of the
  blob whose SHA-256 is the signed digest.
- `require` returns only when the model of that name consists of exactly that blob: no adapter,
  no system prompt, no template, parameter or message but the one line that is put there here.
- Nothing here pulls, pushes, or makes a model of anything but a blob of ours: those routes are
  not called at all.

What it does not do: hash again what Ollama holds on its disk. Whoever can write Ollama's folder
can change it; only our own engine hashes weights each time it loads them.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import BinaryIO

import httpx
import ollama

from appliance.errors import EngineDownError, EngineUnavailableError
from appliance.inference.connection import Connection
from appliance.inference.engine import EngineModel
from appliance.inference.library_folder import LibraryFolder

PREFIX = "appliance-"
# Prompts are sent as they are to be read, so Ollama's template adds nothing.
TEMPLATE = "{{ .Prompt }}"
BLOCK_BYTES = 1_048_576
UPLOAD_S = 600.0
NOT_FOUND = 404


class NotImportedError(EngineDownError):
    """Ollama does not hold the model yet."""


class OllamaModels:
    """Ollama's models that are ours, at `connection` and by `client`, both to one address."""

    def __init__(
        self, connection: Connection, client: ollama.Client, library: LibraryFolder
    ) -> None:
        self._connection = connection
        self._client = client
        self._library = library

    def bring(self, model: EngineModel) -> None:
        """Make Ollama hold the model; returns at once when it does."""
        with contextlib.suppress(EngineUnavailableError):
            self.require(model.digest)
            return
        blob = f"/api/blobs/sha256:{model.digest}"
        if self._connection.response("HEAD", blob).status_code != httpx.codes.OK:
            with self._library.weights(model.digest) as file:
                self._connection.upload(blob, _hashed(file, model.digest), UPLOAD_S)
        with translated():
            self._client.create(
                model=name_of(model.digest),
                files={f"{model.digest}.gguf": f"sha256:{model.digest}"},
                template=TEMPLATE,
                # Instead of those that Ollama would guess by the template's likeness.
                parameters={"stop": []},
                stream=False,
            )
        self.require(model.digest)

    def require(self, digest: str) -> None:
        """Raise NotImportedError, or EngineUnavailableError when it is not what was imported."""
        with translated():
            said = self._client.show(name_of(digest)).modelfile or ""
        found = [line for line in said.splitlines() if line.strip() and line[0] != "#"]
        if (
            len(found) != 2
            or not found[0].startswith("FROM ")
            or found[0].rstrip('"').rsplit("/", 1)[-1] != f"sha256-{digest}"
            or found[1] != f"TEMPLATE {TEMPLATE}"
        ):
            raise EngineUnavailableError(
                "the model in Ollama is not the one that was imported; nothing was asked",
                hint=f"remove {name_of(digest)} from Ollama, and find out who changed it",
            )

    def held(self) -> tuple[str, ...]:
        """Return the digests of the models there that are named as ours."""
        with translated():
            names = [model.model or "" for model in self._client.list().models]
        return tuple(
            name.removeprefix(PREFIX).removesuffix(":latest")
            for name in names
            if name.startswith(PREFIX)
        )

    def unload(self, digest: str) -> None:
        """Let Ollama give the model's memory back, once its answers have ended."""
        with translated(), contextlib.suppress(NotImportedError):
            self._client.generate(model=name_of(digest), keep_alive=0)

    def remove(self, digest: str) -> None:
        """Unload the model and take it out of Ollama."""
        with contextlib.suppress(NotImportedError):
            self.unload(digest)
            with translated():
                self._client.delete(name_of(digest))


def name_of(digest: str) -> str:
    return PREFIX + digest


def client_of(url: str, timeout_s: float) -> ollama.Client:
    """Return a client that takes nothing from the environment, and follows no redirect."""
    client = ollama.Client(host=url, timeout=timeout_s, trust_env=False, follow_redirects=False)
    # It would send a key for Ollama's own cloud, were one in the environment.
    client._client.headers.pop("authorization", None)  # noqa: SLF001 - there is no other way
    return client


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn what Ollama's package raises into EngineUnavailableError."""
    try:
        yield
    except ollama.ResponseError as error:
        if error.status_code == NOT_FOUND:
            raise NotImportedError(
                "Ollama does not hold the model yet", hint="it is brought there; ask again soon"
            ) from error
        raise EngineUnavailableError(f"Ollama refused: {error.error}"[:500]) from error
    except httpx.TimeoutException as error:
        raise EngineUnavailableError("Ollama does not answer in time") from error
    except ConnectionError as error:
        raise EngineDownError("Ollama is not running") from error
    except (httpx.HTTPError, ValueError) as error:
        raise EngineUnavailableError("Ollama's answer makes no sense") from error
    except RuntimeError as error:
        # httpx's way to say that it was closed meanwhile.
        raise EngineDownError("the engine is not running") from error


def _hashed(file: BinaryIO, digest: str) -> Iterator[bytes]:
    """Yield the file's bytes; raise before the last of them when they are others than signed.

    Then the request has no end, so the other side never takes it for whole.
    """
    found = hashlib.sha256()
    held = b""
    while block := file.read(BLOCK_BYTES):
        found.update(block)
        if held:
            yield held
        held = block
    if found.hexdigest() != digest:
        raise EngineUnavailableError(
            "the weights in the library are not what was signed; Ollama did not get them",
            hint="keep the files as they are and call the person in charge of security",
        )
    yield held
