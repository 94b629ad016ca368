"""`Engine` over Ollama: the library's models brought there by digest, prompts sent as they are.

Guarantee: a question goes only to a model that consists of exactly the signed weights
(`ollama_models`), in the words of the signed template (`ollama_prompt`); what Ollama cannot do is
refused (`ollama_body`). Closing the iterator of `generate` closes the connection, and that is
what cancels the request over there. One instance serves any number of threads.

What it does not do: tell how many answers run, as Ollama does not; offer tools, since Ollama reads
them only with templates of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

from appliance.config import Engine as Settings
from appliance.errors import (
    ApplianceError,
    BadInputError,
    ContextOverflowError,
    EngineDownError,
    EngineUnavailableError,
)
from appliance.inference.alive import EVERY_S, with_signs_of_life
from appliance.inference.allowed import ONE_TOKEN, Allowed
from appliance.inference.connection import Connection, Wire
from appliance.inference.embeddings import embeddings as checked
from appliance.inference.engine import (
    Embeddings,
    EngineModel,
    EngineStatus,
    Finished,
    Generation,
    Message,
    Progress,
)
from appliance.inference.events import lines
from appliance.inference.library_folder import LibraryFolder
from appliance.inference.ollama_body import (
    FOR_EVER,
    generate_body,
    progress,
    require_possible,
)
from appliance.inference.ollama_models import (
    NotImportedError,
    OllamaModels,
    client_of,
    name_of,
    translated,
)
from appliance.inference.ollama_prompt import PromptWriter
from appliance.inference.safe_text import SafeTexts, Writing

STATUS_S = 3.0
# Each try reads all of the weights.
AGAIN_S = 60.0
# Unless a site says more: Ollama takes the memory for all of it when it loads a model.
MOST_CONTEXT = 8_192


class OllamaEngine:
    """Speaks to the Ollama at `url`; it may be silent for `silence_s` while it loads or reads."""

    def __init__(
        self,
        url: str,
        library: LibraryFolder,
        writing: Writing,
        settings: Settings | None = None,
        *,
        connect_s: float = 2.0,
        silence_s: float = 300.0,
        every_s: float = EVERY_S,
    ) -> None:
        self._connection = Connection(url.rstrip("/"), None, connect_s, silence_s)
        self._client = client_of(url, silence_s)
        self._library = library
        self._allowed = Allowed(library)
        self._writing = writing
        self._texts = SafeTexts(library, writing.neutralise)
        self._settings = settings or Settings()
        self._models = OllamaModels(self._connection, self._client, library)
        self._every_s = every_s
        self._lock = threading.Lock()
        self._bringing = threading.Lock()
        self._writers: dict[EngineModel, PromptWriter] = {}
        self._failed: dict[str, str] = {}
        self._again: dict[str, float] = {}

    def close(self) -> None:
        self._connection.close()
        self._client.close()  # type: ignore[no-untyped-call]  # its package has none there

    def status(self, digest: str | None = None) -> EngineStatus:
        """Return how the model stands in Ollama, and have it brought there; never raises."""
        try:
            self._connection.call("GET", "/api/version", timeout=STATUS_S)
        except ApplianceError as error:
            return EngineStatus("down", detail=error.message)
        try:
            model = self._allowed.model(digest)
            self._models.require(model.digest)
            context = self._context(model)
        except NotImportedError as error:
            failed = self._failed.get(model.digest)
            self._bring_soon(model)
            return EngineStatus("empty" if failed else "loading", detail=failed or error.message)
        except ApplianceError as error:
            return EngineStatus("empty", detail=error.message)
        return EngineStatus("ready", model.digest, context)

    def count_tokens(self, digest: str, messages: tuple[Message, ...]) -> int:
        """Return the exact size of the rendered prompt, as Ollama itself counts it.

        Ollama has no route for it, so the prompt is read; the question that follows finds it
        read already. Raises ContextOverflowError where the prompt fits no answer.
        """
        model = self._held(digest)
        return self._count(model, self._writer(model).write(messages))

    def generate(self, request: Generation) -> Generator[Progress, None, None]:
        """Yield the progress of one answer; see `Engine` for the errors."""
        require_possible(request)
        model = self._held(request.digest)
        writer = self._writer(model)
        if request.prompt is None:
            prompt = writer.write(request.messages)
        else:
            prompt = writer.bare(request.prompt)
        body = generate_body(name_of(model.digest), prompt, request.sampling, self._load(model))
        for item in with_signs_of_life(lambda wire: self._answer(body, wire), self._every_s):
            self._allowed.require_not_stopped(request.digest, "the answer is not complete")
            yield item

    def embed(self, digest: str, texts: tuple[str, ...], person: str = "") -> Embeddings:
        """Return a vector for each text; see `Engine` for the errors. Nobody's share is kept."""
        model = self._held(digest)
        if not all(texts):
            raise BadInputError("a text is empty; there is nothing to embed")
        safe = self._texts.of(model)
        try:
            with translated():
                found = self._client.embed(
                    model=name_of(digest),
                    input=list(map(safe, texts)),
                    truncate=False,
                    options=self._load(model),
                    keep_alive=FOR_EVER,
                )
        except EngineUnavailableError as error:
            if "exceeds maximum context" in error.message:
                raise ContextOverflowError(
                    "a text has more tokens than the model holds; nothing was embedded"
                ) from error
            raise
        return checked(found.embeddings, found.prompt_eval_count, len(texts))

    def prepare(self, model: EngineModel) -> None:
        """Bring a model into Ollama, and let it write a first token; see `Engine`."""
        self._connection.call("GET", "/api/version", timeout=STATUS_S)
        try:
            with self._bringing:
                self._models.bring(model)
        except NotImportedError as error:
            raise EngineUnavailableError(error.message) from error
        self._allowed.prepare(model, self.generate)

    def release(self, digest: str) -> None:
        """Let Ollama give the model's memory back, once its answers have ended."""
        self._allowed.release(digest)
        self._models.unload(digest)

    def stop(self, digest: str) -> None:
        """Refuse the model from now on, end its running answers, and take it out of Ollama."""
        self._allowed.stop(digest)
        self._models.remove(digest)

    def reload(self) -> None:
        """Bring what the library names as active, and take out what nothing allows any more."""
        self._failed.clear()
        self._again.clear()
        for model in self._allowed.follow():
            with self._bringing:
                self._models.bring(model)
        for digest in self._models.held():
            if digest not in self._allowed.all():
                self._models.remove(digest)

    # --- how a model is asked

    def _held(self, digest: str) -> EngineModel:
        """Return the model once it was seen in Ollama as it has to be."""
        model = self._allowed.model(digest)
        try:
            self._models.require(digest)
        except NotImportedError:
            self._bring_soon(model)
            raise
        return model

    def _bring_soon(self, model: EngineModel) -> None:
        """Bring a model in background, unless one is on its way or this one failed just now."""
        if time.monotonic() < self._again.get(model.digest, 0.0):
            return
        if not self._bringing.acquire(blocking=False):
            return

        def bring() -> None:
            try:
                self._models.bring(model)
                self._failed.pop(model.digest, None)
            except EngineDownError as error:
                self._failed[model.digest] = error.message
            except ApplianceError as error:
                self._note_failure(model.digest, error.message)
            except OSError as error:
                self._note_failure(model.digest, f"the weights cannot be read ({error.strerror})")
            finally:
                self._bringing.release()

        threading.Thread(target=bring, name="import", daemon=True).start()

    def _note_failure(self, digest: str, detail: str) -> None:
        self._failed[digest] = detail
        self._again[digest] = time.monotonic() + AGAIN_S

    def _writer(self, model: EngineModel) -> PromptWriter:
        with self._lock:
            found = self._writers.get(model)
        if found is None:
            found = PromptWriter(
                model,
                self._library,
                self._writing,
                self._texts,
                self._context(model),
                self._adds_bos(model),
            )
            with self._lock:
                found = self._writers.setdefault(model, found)
        return found

    def _adds_bos(self, model: EngineModel) -> bool:
        """Tell whether Ollama opens a prompt by itself: then the opening token counts twice."""
        bos = self._library.vocabulary(model.digest).bos
        return bool(bos) and self._count(model, bos) == 2

    def _context(self, model: EngineModel) -> int:
        trained = self._library.vocabulary(model.digest).context_tokens or MOST_CONTEXT
        wanted = self._settings.context_tokens or model.context_tokens or MOST_CONTEXT
        return min(wanted, trained)

    def _load(self, model: EngineModel) -> dict[str, Any]:
        """Return the options that belong to a loaded model; another value loads it anew."""
        options: dict[str, Any] = {"num_ctx": self._context(model)}
        if self._settings.threads > 0:
            options["num_thread"] = self._settings.threads
        if self._settings.gpu_layers >= 0:
            options["num_gpu"] = self._settings.gpu_layers
        return options

    def _count(self, model: EngineModel, prompt: str) -> int:
        body = generate_body(name_of(model.digest), prompt, ONE_TOKEN, self._load(model))
        *_, last = self._answer(body, Wire())
        if not isinstance(last, Finished) or last.prompt_tokens < 1:
            raise EngineUnavailableError("Ollama did not count the tokens; nothing was asked")
        return last.prompt_tokens

    def _answer(self, body: dict[str, Any], wire: Wire) -> Iterator[Progress]:
        try:
            with self._connection.stream("/api/generate", body, wire) as data:
                yield from progress(lines(data), str(body["model"]))
        except EngineDownError:
            raise
        except EngineUnavailableError as error:
            if "invalid JSON schema" in error.message:
                raise BadInputError("Ollama cannot follow this JSON schema") from error
            raise
