"""What happens to a request inside the engine, as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.errors import ApplianceError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Waiting:
    """`position` requests wait before this one (0: it is next)."""

    position: int


@dataclass(frozen=True)
class Working:
    """The request runs and has nothing to say yet: a sign of life."""


@dataclass(frozen=True)
class Piece:
    """A part of an answer; complete characters only, never empty."""

    text: str


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


Event = Waiting | Working | Piece | Done | Failed
