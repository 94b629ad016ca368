"""What every engine offers: `Engine`, and the values that go in and come out.

Engines are interchangeable: our own llama.cpp process, Ollama, any OpenAI-compatible server.
The same test suite runs against each. Not here: who may ask (policy), what is recorded
(operations).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from appliance.errors import BadInputError

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls"]
ToolMode = Literal["auto", "none", "required"]


@dataclass(frozen=True)
class ToolCall:
    """A model's wish that its caller run a tool; `arguments` is a JSON object as text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Tool:
    """A tool that a caller offers; `parameters` is a JSON Schema as text. Nothing runs it here."""

    name: str
    description: str
    parameters: str


@dataclass(frozen=True)
class Tools:
    """What is offered. `named`: exactly this one has to be called, whatever `mode` says.

    Not `parallel`: one call at most.
    """

    offered: tuple[Tool, ...] = ()
    mode: ToolMode = "auto"
    named: str | None = None
    parallel: bool = True


@dataclass(frozen=True)
class Message:
    """One turn as the model sees it; a tool's result names the call that it answers."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. `temperature` 0 is greedy; `max_tokens` bounds the answer.

    `top_k` 0 and `min_p` null leave the engine's own choice. `logprobs`: with so many
    alternatives per token (0: the chosen one alone); null: none. `schema` is a JSON Schema as
    text that the answer has to follow; `{"type":"object"}` stands for any JSON object.
    """

    max_tokens: int
    temperature: float = 0.2
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_k: int = 0
    min_p: float | None = None
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    schema: str | None = None


@dataclass(frozen=True)
class Generation:
    """One request to an engine: the model's digest (SHA-256 in hex), the turns, the sampling.

    With `prompt`, that text is continued as it stands, and there are no turns. `person` is an
    opaque word, the same for all requests of one person: engines share their time by it.
    """

    digest: str
    messages: tuple[Message, ...]
    sampling: Sampling
    tools: Tools = Tools()
    prompt: str | None = None
    person: str = ""


@dataclass(frozen=True)
class Queued:
    """Not started yet; `position` requests stand before this one (0: next)."""

    position: int


@dataclass(frozen=True)
class TokenLogprob:
    """How likely a token was: natural logarithm; `data` are its bytes, `top` the likeliest."""

    token: str
    logprob: float
    data: bytes
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Delta:
    """A piece of the answer; complete characters only, calls of tools whole.

    May be empty: a sign of life while a long prompt is read, so that the caller can stop.
    """

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Finished:
    """The end of an answer: why, and the exact number of tokens read and written."""

    reason: FinishReason
    prompt_tokens: int
    answer_tokens: int


Progress = Queued | Delta | Finished


@dataclass(frozen=True)
class Embeddings:
    """One vector per text, each of length 1, all of the same dimension; the tokens read."""

    vectors: tuple[tuple[float, ...], ...]
    tokens: int


_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class EngineModel:
    """A model as `active.json` names it: what an engine needs to load exactly that one.

    Digests are SHA-256 in hex; null means the weights' own chat template, and no list of chunk
    digests. `context_tokens` 0: as many as the model was trained for.
    """

    name: str
    version: str
    digest: str
    context_tokens: int = 0
    template_sha256: str | None = None
    chunks_sha256: str | None = None

    @classmethod
    def parse(cls, value: object) -> EngineModel:
        """Return the model in a JSON object; raise BadInputError when it makes no sense."""
        given = value if isinstance(value, Mapping) else {}
        name, version, digest = (given.get(key) for key in ("name", "version", "digest"))
        tokens = given.get("context_tokens") or 0
        template, listed = given.get("template_sha256"), given.get("chunks_sha256")
        if not (isinstance(name, str) and isinstance(version, str) and _is_digest(digest)):
            raise BadInputError("a model is named by name, version and SHA-256")
        if not all(item is None or _is_digest(item) for item in (template, listed)):
            raise BadInputError("template_sha256 and chunks_sha256 are SHA-256 in hex, or null")
        if type(tokens) is not int or tokens < 0:
            raise BadInputError("context_tokens is not a count")
        return cls(name, version, str(digest), tokens, template, listed)

    def answers_as(self, other: EngineModel | None) -> bool:
        """Tell whether both give the same answers; how the weights are hashed is no matter."""
        return other is not None and (
            (self.digest, self.context_tokens, self.template_sha256)
            == (other.digest, other.context_tokens, other.template_sha256)
        )

    def to_json(self) -> dict[str, object]:
        return dict(vars(self))


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


@dataclass(frozen=True)
class EngineSeat:
    """One model's process: what it is for (active, candidate, draining) and how it stands."""

    name: str
    version: str
    digest: str
    role: str
    state: str
    detail: str = ""


@dataclass(frozen=True)
class EngineIncident:
    """Something that the engine did by itself to go on answering, such as a restart.

    `id` is the same each time it is told, and no other incident's ever; `at` in Unix seconds.
    """

    id: str
    kind: Literal["restarted"]
    digest: str
    reason: str
    at: float


@dataclass(frozen=True)
class EngineStatus:
    """What an engine says of itself. `digest` is null unless a model is loaded.

    `seats` are all processes there are, where an engine has one per model. `slots` answers can
    be written at once. `steps` grows with each one that the engine takes: one that stands still
    while requests run is wedged. `incidents` are the latest, oldest first.
    """

    state: Literal["loading", "ready", "empty", "down"]
    digest: str | None = None
    context_tokens: int = 0
    waiting: int = 0
    detail: str = ""
    running: int = 0
    seats: tuple[EngineSeat, ...] = ()
    slots: int = 0
    steps: int = 0
    incidents: tuple[EngineIncident, ...] = ()


class Engine(Protocol):
    """One place that answers, with a process for each model that it holds.

    `generate` raises EngineUnavailableError (down, loading, died midway, or `digest` is no model
    that it holds), ContextOverflowError, or BadInputError. Closing the iterator cancels the
    request and frees the engine. The last value is always `Finished`, unless it raises.
    """

    def status(self, digest: str | None = None) -> EngineStatus:
        """Return how the named model's process stands, the active one's without a name.

        `empty` for a model that is not held. Never raises.
        """
        ...

    def count_tokens(self, digest: str, messages: tuple[Message, ...]) -> int:
        """Return how many tokens the rendered prompt has, template included."""
        ...

    def generate(self, request: Generation) -> Generator[Progress, None, None]: ...

    def embed(self, digest: str, texts: tuple[str, ...], person: str = "") -> Embeddings:
        """Return a vector for each text; raise what `generate` raises."""
        ...

    def close(self) -> None:
        """Let go of connections; running answers of other threads end with an error."""
        ...

    def prepare(self, model: EngineModel) -> None:
        """Load a model beside the active one, until it has written a first token.

        Raises EngineDownError when there is no engine to ask, ConflictError when there is no room
        yet, EngineUnavailableError with the reason when the model cannot answer: then nothing has
        changed.
        """
        ...

    def release(self, digest: str) -> None:
        """Let go of a model that is not the active one any more, once its answers have ended."""
        ...

    def stop(self, digest: str) -> None:
        """End a model's process at once, its running answers too: it may not be used."""
        ...

    def reload(self) -> None:
        """Follow what the library names as active now; what nothing allows any more ends."""
        ...
