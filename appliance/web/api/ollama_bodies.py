"""What a program may send to Ollama's routes, checked field by field.

Ollama's calls of tools have no name of their own, so they are numbered in order, and a tool's
message answers the next one that is open. Ignored as harmless: `keep_alive` (how long a model
stays in memory is the site's setting) and whatever Ollama does not know either. `truncate` is
taken and nothing is ever truncated: a text that does not fit is refused.
"""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from appliance.errors import BadInputError
from appliance.inference.engine import Message, ToolCall, Tools
from appliance.operations.embedding import EmbeddingWish
from appliance.operations.questions import Question, SamplingWish
from appliance.web.api.bodies import (
    ANY_OBJECT,
    MAX_MESSAGES,
    TEXT_ONLY,
    Body,
    ModelName,
    OfferedTools,
    Refused,
    Texts,
    json_text,
    listed,
)
from appliance.web.api.ollama_options import Options

LATEST = ":latest"
MAX_ALTERNATIVES = 20
NO_THOUGHTS = "no model here thinks aloud; leave it out"
NO_PICTURES = Refused(TEXT_ONLY, [])


def _no_empty_format(value: object) -> object:
    return None if value == "" else value


class Named(Body):
    """A body that names a model, as Ollama writes it."""

    model: ModelName

    @property
    def name(self) -> str:
        """The name without the tag that Ollama adds to every one."""
        return self.model.removesuffix(LATEST)


class Purposeful(Named):
    """What this appliance adds to Ollama's bodies: purpose of use, and a patient's number."""

    purpose: str | None = None
    patient: str | None = None


class Asked(Purposeful):
    """What both routes that write text may say."""

    stream: bool | None = None
    format: Annotated[
        Literal["json"] | dict[str, Any] | None, BeforeValidator(_no_empty_format)
    ] = None
    options: Options | None = None
    think: Annotated[None, Refused(NO_THOUGHTS, False)] = None
    keep_alive: float | str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_ALTERNATIVES)

    @property
    def is_streamed(self) -> bool:
        """Ollama streams unless it is told not to."""
        return self.stream is not False

    @property
    def unloads(self) -> bool:
        """Whether a body that asks nothing is a wish to take the model out of memory."""
        return self.keep_alive in (0, "0", "0s", "0m")

    def sampling(self) -> SamplingWish:
        """Return what is wished of the sampling."""
        if self.top_logprobs and not self.logprobs:
            raise BadInputError("top_logprobs: it needs logprobs to be true")
        schema = ANY_OBJECT if self.format == "json" else None
        if isinstance(self.format, dict):
            schema = json_text(self.format)
        likely = (self.top_logprobs or 0) if self.logprobs else None
        return (self.options or Options()).wish(likely, schema)


class CalledFunction(Body):
    name: Annotated[str, Field(min_length=1, max_length=64)]
    arguments: dict[str, Any] = Field(default_factory=dict)


class Call(Body):
    function: CalledFunction


class Turn(Body):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    images: Annotated[None, NO_PICTURES] = None
    tool_calls: list[Call] | None = None


class Chat(Asked):
    """The body of /api/chat."""

    messages: list[Turn] = Field(default_factory=list, max_length=MAX_MESSAGES)
    tools: OfferedTools | None = None

    @property
    def asks(self) -> bool:
        return bool(self.messages)

    def question(self, purpose: str | None) -> Question:
        """Return the question that the body asks."""
        return Question(
            messages=_messages(self.messages),
            model=self.name,
            purpose=purpose or self.purpose,
            sampling=self.sampling(),
            origin="api",
            patient=self.patient or None,
            tools=Tools(tuple(tool.tool() for tool in self.tools or [])),
        )


class Generate(Asked):
    """The body of /api/generate: one text, in the model's template or (`raw`) as it stands."""

    prompt: str | None = None
    system: str | None = None
    raw: bool | None = None
    suffix: Annotated[None, Refused("no text can be filled in before another", "")] = None
    template: Annotated[None, Refused("a model's template was signed with it", "")] = None
    context: Annotated[None, Refused("send /api/chat the messages instead", [])] = None
    images: Annotated[None, NO_PICTURES] = None

    @property
    def asks(self) -> bool:
        return bool(self.prompt)

    def question(self, purpose: str | None) -> Question:
        """Return the question that the body asks."""
        prompt = self.prompt or ""
        if self.raw and self.system:
            raise BadInputError("system: a raw prompt has none")
        turns = (Message("system", self.system),) if self.system else ()
        return Question(
            messages=() if self.raw else (*turns, Message("user", prompt)),
            model=self.name,
            purpose=purpose or self.purpose,
            sampling=self.sampling(),
            origin="api",
            patient=self.patient or None,
            raw=prompt if self.raw else None,
        )


class Embed(Purposeful):
    """The body of /api/embed."""

    input: Texts
    truncate: bool | None = None
    dimensions: Annotated[None, Refused("vectors are as long as the model makes them", 0)] = None
    options: Options | None = None

    def wish(self, purpose: str | None) -> EmbeddingWish:
        """Return what is to be turned into vectors."""
        return _wish(self, listed(self.input), purpose)


class EmbedOne(Purposeful):
    """The body of the older /api/embeddings."""

    prompt: Annotated[str, Field(min_length=1)]
    options: Options | None = None

    def wish(self, purpose: str | None) -> EmbeddingWish:
        """Return what is to be turned into a vector."""
        return _wish(self, (self.prompt,), purpose)


class Show(Named):
    """The body of /api/show."""


def _wish(body: Purposeful, texts: tuple[str, ...], purpose: str | None) -> EmbeddingWish:
    return EmbeddingWish(texts, body.name, purpose or body.purpose, body.patient or None)


def _messages(turns: list[Turn]) -> tuple[Message, ...]:
    made: list[Message] = []
    pending: deque[str] = deque()
    for place, turn in enumerate(turns):
        calls = tuple(
            ToolCall(f"call_{place}_{number}", call.function.name, json_text(_given(call)))
            for number, call in enumerate(turn.tool_calls or [])
        )
        pending.extend(call.id for call in calls)
        answered = pending.popleft() if turn.role == "tool" and pending else None
        made.append(Message(turn.role, turn.content or "", calls, answered))
    return tuple(made)


def _given(call: Call) -> dict[str, Any]:
    return call.function.arguments
