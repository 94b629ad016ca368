"""What every engine offers: `Engine`, and the values that go in and come out.

Engines are interchangeable: our own llama.cpp process, Ollama, any OpenAI-compatible server.
The same test suite runs against each. Not here: who may ask (policy), what is recorded
(operations).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Message:
    """One turn as the model sees it."""

    role: Role
    content: str


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. `temperature` 0 is greedy; `max_tokens` bounds the answer."""

    max_tokens: int
    temperature: float = 0.2
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Generation:
    """One request to an engine: the model's digest (SHA-256 in hex), the turns, the sampling."""

    digest: str
    messages: tuple[Message, ...]
    sampling: Sampling


@dataclass(frozen=True)
class Queued:
    """Not started yet; `position` requests stand before this one (0: next)."""

    position: int


@dataclass(frozen=True)
class Delta:
    """A piece of the answer; complete characters only.

    May be empty: a sign of life while a long prompt is read, so that the caller can stop.
    """

    text: str


@dataclass(frozen=True)
class Finished:
    """The end of an answer: why, and the exact number of tokens read and written."""

    reason: FinishReason
    prompt_tokens: int
    answer_tokens: int


Progress = Queued | Delta | Finished


@dataclass(frozen=True)
class EngineStatus:
    """What an engine says of itself. `digest` is null unless a model is loaded."""

    state: Literal["loading", "ready", "empty", "down"]
    digest: str | None = None
    context_tokens: int = 0
    waiting: int = 0
    detail: str = ""


class Engine(Protocol):
    """One place that answers.

    `generate` raises EngineUnavailableError (down, loading, died midway, or another model is
    loaded than `digest`), ContextOverflowError, or BadInputError. Closing the iterator cancels
    the request and frees the engine. The last value is always `Finished`, unless it raises.
    """

    def status(self) -> EngineStatus: ...

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Return how many tokens the rendered prompt has, template included."""
        ...

    def generate(self, request: Generation) -> Generator[Progress, None, None]: ...

    def close(self) -> None:
        """Let go of connections; running answers of other threads end with an error."""
        ...

    def reload(self) -> None:
        """Ask the engine to load the model that the library names as active now."""
        ...
