"""`Engine` over a server of somebody else that speaks OpenAI's protocol: llama-server, vLLM.

Guarantees:

- Before every request the server is asked what it serves. It has to name the SHA-256 of the
  weights (`llama-server --alias <digest>`, `vllm serve --served-model-name <digest>`); where it
  also tells its file (`/props`), that file has to be `<digest>.gguf`, and where it tells its chat
  template and one was signed with the model, it has to be that one. Otherwise nothing is asked.
- Texts of messages and tools hold no control token of the model when they leave here, since such
  a server tokenizes them and the template as one text.
- Tokens are counted by the server itself, never guessed.

What it does not do: hash the weights that the server has read. Whoever starts that server
promises it by the name; our own engine and Ollama are given bytes that were hashed.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any

from appliance.errors import (
    ApplianceError,
    BadInputError,
    EngineDownError,
    EngineUnavailableError,
)
from appliance.inference.alive import EVERY_S, with_signs_of_life
from appliance.inference.allowed import Allowed
from appliance.inference.connection import Connection, Wire
from appliance.inference.embeddings import embeddings as checked
from appliance.inference.embeddings import embeddings_in
from appliance.inference.engine import (
    Embeddings,
    EngineModel,
    EngineStatus,
    Generation,
    Message,
    Progress,
    Tools,
)
from appliance.inference.events import answer
from appliance.inference.library_folder import LibraryFolder
from appliance.inference.openai_body import chat_body, completion_body, message_bodies
from appliance.inference.pieces import count_in
from appliance.inference.safe_text import Neutralise, SafeTexts
from appliance.inference.served import Served, read_served

LOOK_S = 5.0
NOT_IMPLEMENTED = (404, 405, 501)


class OpenAIServer:
    """Speaks to the server at `url`; it may be silent for `silence_s` while it reads a prompt."""

    def __init__(
        self,
        url: str,
        library: LibraryFolder,
        texts: SafeTexts,
        *,
        connect_s: float = 2.0,
        silence_s: float = 300.0,
        every_s: float = EVERY_S,
    ) -> None:
        self._connection = Connection(url.rstrip("/"), None, connect_s, silence_s)
        self._library = library
        self._allowed = Allowed(library)
        self._texts = texts
        self._every_s = every_s
        self._embedding = threading.Lock()

    def close(self) -> None:
        self._connection.close()

    def status(self, digest: str | None = None) -> EngineStatus:
        """Return whether the server serves the model, and how it stands; never raises."""
        try:
            if not self._connection.answers("/health", LOOK_S):
                return EngineStatus("loading", detail="the server loads its model")
        except ApplianceError as error:
            return EngineStatus("down", detail=error.message)
        try:
            model = self._allowed.model(digest)
            served = self._served(model)
        except EngineDownError as error:
            return EngineStatus("down", detail=error.message)
        except ApplianceError as error:
            return EngineStatus("empty", detail=error.message)
        return EngineStatus(
            "ready",
            model.digest,
            served.context_tokens,
            running=served.running,
            slots=served.slots,
        )

    def count_tokens(self, digest: str, messages: tuple[Message, ...]) -> int:
        """Return the exact size of the rendered prompt, as the server itself counts it."""
        model = self._allowed.model(digest)
        served, safe = self._served(model), self._texts.of(model)
        body = {"model": digest, "messages": message_bodies(messages, safe)}
        if not served.applies_templates:
            return _told(self._connection.call("POST", "/tokenize", body), "count")
        prompt = self._connection.call("POST", "/apply-template", body).get("prompt")
        asked = {"content": prompt, "add_special": True, "parse_special": True}
        tokens = self._connection.call("POST", "/tokenize", asked).get("tokens")
        if not isinstance(tokens, list):
            raise EngineUnavailableError("the server did not count the tokens; nothing was asked")
        return len(tokens)

    def generate(self, request: Generation) -> Generator[Progress, None, None]:
        """Yield the progress of one answer; see `Engine` for the errors."""
        model = self._allowed.model(request.digest)
        if not self._served(model).reads_tools and request.tools.offered:
            # Asked all the same, it would leave them out and say nothing.
            raise BadInputError("this model's chat template knows no tools; nothing was asked")
        path, body = _body(request, self._texts.of(model))
        for item in with_signs_of_life(lambda wire: self._answer(path, body, wire), self._every_s):
            self._allowed.require_not_stopped(request.digest, "the answer is not complete")
            yield item

    def embed(self, digest: str, texts: tuple[str, ...], person: str = "") -> Embeddings:
        """Return a vector for each text; BadInputError where the server was not started for it."""
        model = self._allowed.model(digest)
        self._served(model)
        safe = self._texts.of(model)
        # llama-server (0.5.0) gives a wrong vector to the first of several texts that it reads
        # in one go, so it gets one text at a time.
        with self._embedding:
            found = [self._vector(digest, safe(text), person) for text in texts]
        vectors = [vector for one in found for vector in one.vectors]
        return checked(vectors, sum(one.tokens for one in found), len(texts))

    def prepare(self, model: EngineModel) -> None:
        """Check that the server serves the model already, and let it write one token.

        There is no way to make such a server load a model; whoever runs it does that before.
        """
        served = self._served(model)
        if not served.counts_tokens:
            raise EngineUnavailableError(
                "this server cannot count tokens, so nobody could know what a model has read",
                hint="use llama-server or vLLM, which can",
            )
        self._allowed.prepare(model, self._counted)

    def release(self, digest: str) -> None:
        """Forget a model; the server keeps it until whoever runs it says otherwise."""
        self._allowed.release(digest)

    def stop(self, digest: str) -> None:
        """Refuse the model from now on and end its running answers; the process is another's."""
        self._allowed.stop(digest)

    def reload(self) -> None:
        """Follow what the library names as active now; what was stopped and is not stays so."""
        self._allowed.follow()

    # --- what is served

    def _counted(self, request: Generation) -> Generator[Progress, None, None]:
        self.count_tokens(request.digest, request.messages)
        yield from self.generate(request)

    def _served(self, model: EngineModel) -> Served:
        served = read_served(self._connection, model.digest, LOOK_S)
        served.require(model, self._library)
        return served

    def _vector(self, digest: str, text: str, person: str) -> Embeddings:
        body = {"model": digest, "input": [text], "user": person}
        found = self._connection.response("POST", "/v1/embeddings", body)
        if found.status_code in NOT_IMPLEMENTED:
            raise BadInputError(
                "this server does not offer embeddings with this model",
                hint="start it with embeddings, or use a model that is made for them",
            )
        return embeddings_in(self._connection.read(found), 1)

    def _answer(self, path: str, body: Mapping[str, Any], wire: Wire) -> Iterator[Progress]:
        with self._connection.stream(path, body, wire) as data:
            yield from answer(data, str(body["model"]))


def _body(request: Generation, safe: Neutralise) -> tuple[str, dict[str, Any]]:
    """Return the route and the body, with fields of these servers beside OpenAI's."""
    if (name := request.tools.named) is not None:
        # llama-server does not know how to name one of several, but how to require one.
        only = tuple(tool for tool in request.tools.offered if tool.name == name)
        request = replace(request, tools=Tools(only, "required"))
    if request.prompt is None:
        path, body = "/v1/chat/completions", chat_body(request, safe)
    else:
        path, body = "/v1/completions", completion_body(request, safe)
        if request.sampling.logprobs is not None:
            # The older route counts the alternatives here, the chosen one included.
            body["logprobs"] = max(1, body.pop("top_logprobs"))
    if "repeat_penalty" in body:
        body["repetition_penalty"] = body["repeat_penalty"]  # vLLM's word for it
    # llama-server then tells how far it has read.
    return path, {**body, "return_progress": True}


def _told(body: Mapping[str, Any], name: str) -> int:
    if name not in body:
        raise EngineUnavailableError("the server did not count the tokens; nothing was asked")
    return count_in(body, name)
