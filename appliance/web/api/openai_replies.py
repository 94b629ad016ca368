"""The shapes of OpenAI's replies, and how an answer is put into them.

The shapes are types, so that the checker holds the code to them and the OpenAPI document, which
is made of them, cannot say anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from appliance.inference.engine import TokenLogprob, ToolCall
from appliance.operations.answer_run import AnswerState


class Likely(TypedDict):
    token: str
    logprob: float
    bytes: list[int]


class LikelyToken(Likely):
    top_logprobs: list[Likely]


class Logprobs(TypedDict):
    content: list[LikelyToken]


class CalledFunction(TypedDict):
    name: str
    arguments: str


class Call(TypedDict):
    id: str
    type: Literal["function"]
    function: CalledFunction


class CallPiece(Call):
    index: int


class ChatMessage(TypedDict):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: NotRequired[list[Call]]


class ChatDelta(TypedDict, total=False):
    role: Literal["assistant"]
    content: str
    tool_calls: list[CallPiece]


class Usage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatChoice(TypedDict):
    index: int
    message: ChatMessage
    logprobs: Logprobs | None
    finish_reason: str | None


class ChatPieceChoice(TypedDict):
    index: int
    delta: ChatDelta
    logprobs: Logprobs | None
    finish_reason: str | None


class Frame(TypedDict):
    id: str
    created: int
    model: str
    system_fingerprint: str


class ChatReply(Frame):
    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    usage: Usage


class ChatPiece(Frame):
    object: Literal["chat.completion.chunk"]
    choices: list[ChatPieceChoice]
    # Null but in the last piece, and there only if it was asked for.
    usage: Usage | None


class TextLogprobs(TypedDict):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class TextChoice(TypedDict):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: str | None


class TextReply(Frame):
    object: Literal["text_completion"]
    choices: list[TextChoice]
    usage: Usage | None


class Vector(TypedDict):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class VectorUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int


class VectorsReply(TypedDict):
    object: Literal["list"]
    model: str
    data: list[Vector]
    usage: VectorUsage


class ModelReply(TypedDict):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    version: str
    digest: str
    demo: bool


class ModelsReply(TypedDict):
    object: Literal["list"]
    data: list[ModelReply]


class Fault(TypedDict):
    message: str
    type: str
    param: str | None
    code: str
    reference: str


class FaultReply(TypedDict):
    error: Fault


def usage(state: AnswerState) -> Usage:
    """Return the exact numbers of tokens."""
    prompt, answer = state.prompt_tokens or 0, state.answer_tokens or 0
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def logprobs(tokens: Sequence[TokenLogprob]) -> Logprobs | None:
    """Return how likely the tokens of an answer were; null when nobody asked."""
    if not tokens:
        return None
    content: list[LikelyToken] = [
        {**_likely(token), "top_logprobs": [_likely(other) for other in token.top]}
        for token in tokens
    ]
    return {"content": content}


def text_logprobs(tokens: Sequence[TokenLogprob], offset: int = 0) -> TextLogprobs | None:
    """Return the same in the older shape; `offset`: characters of the answer before these."""
    if not tokens:
        return None
    starts = []
    for token in tokens:
        starts.append(offset)
        offset += len(token.token)
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{other.token: other.logprob for other in token.top} for token in tokens],
        "text_offset": starts,
    }


def call(made: ToolCall) -> Call:
    """Return a call as a whole answer shows it."""
    return {
        "id": made.id,
        "type": "function",
        "function": {"name": made.name, "arguments": made.arguments},
    }


def call_piece(index: int, made: ToolCall) -> CallPiece:
    """Return a call as a chunk shows it: whole, since engines give it whole."""
    return {"index": index, **call(made)}


def _likely(token: TokenLogprob) -> Likely:
    return {"token": token.token, "logprob": token.logprob, "bytes": list(token.data)}
