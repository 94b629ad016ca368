"""The shapes of Ollama's replies; durations are in nanoseconds, times in RFC 3339.

As with OpenAI's, the shapes are types that hold the code and make the OpenAPI document.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from appliance.bundles.inventory import ModelInfo
from appliance.errors import EngineUnavailableError
from appliance.inference.engine import TokenLogprob, ToolCall
from appliance.operations.answer_run import AnswerState
from appliance.operations.embedding import Embedded

MS = 1_000_000


class CalledFunction(TypedDict):
    index: int
    name: str
    arguments: dict[str, Any]


class Call(TypedDict):
    id: str
    function: CalledFunction


class Message(TypedDict):
    role: Literal["assistant"]
    content: str
    tool_calls: NotRequired[list[Call]]


class Likely(TypedDict):
    token: str
    logprob: float
    bytes: list[int]


class LikelyToken(Likely):
    top_logprobs: NotRequired[list[Likely]]


class Part(TypedDict):
    """What every reply says; the numbers stand in the last one alone."""

    model: str
    created_at: str
    done: bool
    logprobs: NotRequired[list[LikelyToken]]
    done_reason: NotRequired[str]
    total_duration: NotRequired[int]
    load_duration: NotRequired[int]
    prompt_eval_count: NotRequired[int]
    prompt_eval_duration: NotRequired[int]
    eval_count: NotRequired[int]
    eval_duration: NotRequired[int]


class ChatReply(Part):
    message: Message


class GenerateReply(Part):
    response: str


class EmbedReply(TypedDict):
    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class EmbedOneReply(TypedDict):
    embedding: list[float]


class Details(TypedDict):
    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class Tag(TypedDict):
    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: Details


class TagsReply(TypedDict):
    models: list[Tag]


class Running(Tag):
    expires_at: str
    size_vram: int
    context_length: int


class RunningReply(TypedDict):
    models: list[Running]


class ShowReply(TypedDict):
    modified_at: str
    license: str
    modelfile: str
    parameters: str
    template: str
    details: Details
    model_info: dict[str, Any]
    capabilities: list[str]


class VersionReply(TypedDict):
    version: str


class FaultReply(TypedDict):
    error: str
    code: str
    reference: str


def moment(seconds: float) -> str:
    """Return a time as Ollama writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def calls(made: Sequence[ToolCall], first: int = 0) -> list[Call]:
    """Return calls of tools; their arguments are objects here, not text.

    Raises EngineUnavailableError where an engine cut them off, so that they are none.
    """
    return [
        {
            "id": call.id,
            "function": {
                "index": first + place,
                "name": call.name,
                "arguments": _object(call.arguments),
            },
        }
        for place, call in enumerate(made)
    ]


def likely(tokens: Sequence[TokenLogprob]) -> list[LikelyToken]:
    """Return how likely the tokens were."""
    return [
        {**_likely(token), "top_logprobs": [_likely(other) for other in token.top]}
        for token in tokens
    ]


def ending(model: str, now: float, state: AnswerState) -> Part:
    """Return what the last reply says of the answer: why it ended, how much, how long."""
    first = state.elapsed_ms if state.first_token_ms is None else state.first_token_ms
    return {
        "model": model,
        "created_at": moment(now),
        "done": True,
        "done_reason": "length" if state.finish_reason == "length" else "stop",
        "total_duration": state.elapsed_ms * MS,
        "load_duration": 0,
        "prompt_eval_count": state.prompt_tokens or 0,
        "prompt_eval_duration": first * MS,
        "eval_count": state.answer_tokens or 0,
        "eval_duration": max(0, state.elapsed_ms - first) * MS,
    }


def embedded(made: Embedded) -> EmbedReply:
    """Return vectors in the shape of /api/embed."""
    return {
        "model": made.model.name,
        "embeddings": [list(vector) for vector in made.vectors],
        "total_duration": made.elapsed_ms * MS,
        "load_duration": 0,
        "prompt_eval_count": made.tokens,
    }


def details(model: ModelInfo) -> Details:
    """Return what Ollama tells of a model's kind."""
    return {
        "parent_model": "",
        "format": "gguf",
        "family": model.architecture,
        "families": [model.architecture],
        "parameter_size": _parameters(model.parameters),
        "quantization_level": model.quantisation,
    }


def tag(model: ModelInfo) -> Tag:
    """Return a model as a list shows it; its digest is that of the signed weights."""
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": moment(model.changed),
        "size": model.bytes,
        "digest": model.digest,
        "details": details(model),
    }


def _object(arguments: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise EngineUnavailableError(
            "the model called a tool and did not finish its arguments", hint="allow a longer answer"
        )
    return value


def _likely(token: TokenLogprob) -> Likely:
    return {"token": token.token, "logprob": token.logprob, "bytes": list(token.data)}


def _parameters(count: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size:
            return f"{count / size:.1f}{letter}"
    return str(count)
