"""Fitting a conversation into a model's context, oldest turns first out.

Pure: tokens are counted by a function that comes in. Guarantees that the system prompt and the
last user message are never dropped, that a turn (a question with its answers) goes as a whole,
and that the caller learns how many went, so that nobody is misled about what the model saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.errors import ContextOverflowError
from appliance.inference.engine import Message

Messages = tuple[Message, ...]
Count = Callable[[Messages], int]


@dataclass(frozen=True)
class Fitted:
    """What is sent: the messages, their exact size in tokens, how many turns were left out."""

    messages: Messages
    tokens: int
    dropped: int


def fit_history(messages: Messages, count: Count, budget: int) -> Fitted:
    """Return the longest recent part of the conversation that has at most `budget` tokens.

    `count` is called once when all fits, else about log2(turns) times; it may raise
    ContextOverflowError for what is too long to be counted. Raises that error when even the
    system prompt and the last turn are too long.
    """
    system = tuple(message for message in messages if message.role == "system")
    turns = _turns(tuple(message for message in messages if message.role != "system"))
    whole = _size(count, messages)
    if whole is not None and whole <= budget:
        return Fitted(messages, whole, 0)
    # Invariant: dropping `low` turns is too few, dropping `high` fits.
    low, high = 0, max(0, len(turns) - 1)
    fitting = _without(system, turns, high)
    tokens = count(fitting)
    if high == 0 or tokens > budget:
        raise _too_long(tokens, budget)
    while high - low > 1:
        middle = (low + high) // 2
        candidate = _without(system, turns, middle)
        size = _size(count, candidate)
        if size is not None and size <= budget:
            high, fitting, tokens = middle, candidate, size
        else:
            low = middle
    return Fitted(fitting, tokens, high)


def _size(count: Count, messages: Messages) -> int | None:
    """Return the size in tokens, null when that is beyond any context."""
    try:
        return count(messages)
    except ContextOverflowError:
        return None


def _turns(messages: Messages) -> list[Messages]:
    """Split before every user message; what stands before the first one is a turn of its own."""
    turns: list[Messages] = []
    for message in messages:
        if message.role == "user" or not turns:
            turns.append((message,))
        else:
            turns[-1] = (*turns[-1], message)
    return turns


def _without(system: Messages, turns: list[Messages], dropped: int) -> Messages:
    return system + tuple(message for turn in turns[dropped:] for message in turn)


def _too_long(tokens: int, budget: int) -> ContextOverflowError:
    return ContextOverflowError(
        f"the last message has {tokens} tokens with the system prompt; "
        f"this model takes at most {budget}; nothing was asked"
    )
