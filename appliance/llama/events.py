"""What happens to a request inside the engine, as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.errors import ApplianceError

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True)
class Waiting:
    """`position` requests wait before this one (0: it is next)."""

    position: int


@dataclass(frozen=True)
class Working:
    """The request runs and has nothing to say yet: a sign of life."""


@dataclass(frozen=True)
class TokenLogprob:
    """How likely a token was: natural logarithm; `data` are its bytes, `top` the likeliest."""

    token: str
    logprob: float
    data: bytes
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Piece:
    """A part of an answer; complete characters only, empty only where it brings `logprobs`.

    `logprobs` are those of the tokens chosen since the last piece.
    """

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Called:
    """A whole call of a tool, the `index`th of its answer; `arguments` is a JSON object as text."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Done:
    """The end of an answer and what it took; the end token itself is not counted."""

    reason: FinishReason
    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class Failed:
    """The request is over without a complete answer."""

    error: ApplianceError


Event = Waiting | Working | Piece | Called | Done | Failed
