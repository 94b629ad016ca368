"""What a chunk of an OpenAI-style stream says: text, likelihoods, pieces of a tool's call.

Pure. Guarantee: whatever the chunk holds, the outcome is a value of the expected type or
EngineUnavailableError, and no control character but tab and newline comes through. Not here:
reading lines (`events`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.errors import EngineUnavailableError
from appliance.inference.engine import FinishReason, TokenLogprob, ToolCall

MAX_TOOL_CALLS = 128
MAX_ARGUMENTS = 1_048_576
# Of tokens, slots, steps: more would not fit into a database either.
MOST_COUNTED = 2**53
# What OpenAI sends for a token that is practically impossible; JSON has no minus infinity.
LEAST_LOGPROB = -9999.0
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def count_in(body: object, name: str) -> int:
    """Return a count, 0 when the server does not say, or says one that cannot be."""
    value = body.get(name) if isinstance(body, Mapping) else None
    return count_of(value)


def count_of(value: object) -> int:
    return value if type(value) is int and 0 <= value <= MOST_COUNTED else 0


@dataclass(frozen=True)
class Piece:
    """One chunk. `alive`: it has no text, and shows all the same that the engine works."""

    text: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    calls: tuple[Mapping[str, Any], ...] = ()
    ended: FinishReason | None = None
    alive: bool = False


def printable(text: str) -> str:
    """Return `text` without what a terminal or a page might act on."""
    return _UNWANTED.sub("", text)


def piece(chunk: Mapping[str, Any]) -> Piece:
    """Return what a chunk says; the usage chunk of some servers says nothing."""
    try:
        choice = chunk["choices"][0] if chunk.get("choices") else {}
        delta = choice.get("delta") or {}
        text = choice.get("text") or delta.get("content") or ""
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        calls = tuple(delta.get("tool_calls") or ())
        if not isinstance(text, str):
            raise _odd()
        return Piece(
            printable(text),
            _logprobs(choice.get("logprobs")),
            calls,
            _reason(choice.get("finish_reason")),
            # Reading a long prompt, or thoughts that are no part of the answer.
            bool(chunk.get("prompt_progress") or thought),
        )
    except (TypeError, AttributeError, KeyError, IndexError, ValueError, OverflowError) as error:
        raise _odd() from error


def _reason(said: object) -> FinishReason | None:
    """Servers know more reasons (`eos`, `content_filter`); for a person they mean "it ended"."""
    if said is None:
        return None
    known: dict[object, FinishReason] = {"length": "length", "tool_calls": "tool_calls"}
    return known.get(said, "stop") if isinstance(said, str) else "stop"


def _odd() -> EngineUnavailableError:
    return EngineUnavailableError("the engine sent an event of another shape")


# --- likelihoods


def _logprobs(said: Any) -> tuple[TokenLogprob, ...]:
    """Read the list of chat answers, or the parallel lists of the older text completions."""
    if not said:
        return ()
    if said.get("content") is None and said.get("tokens"):
        return _older(said)
    return tuple(
        token_logprob(item, tuple(map(token_logprob, item.get("top_logprobs") or ())))
        for item in said.get("content") or ()
    )


def token_logprob(item: Mapping[str, Any], top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
    """Return one token's likelihood; raise ValueError or TypeError when it makes no sense."""
    token = item["token"]
    if not isinstance(token, str):
        raise TypeError("a token is a text")
    data = item.get("bytes")
    if not isinstance(data, list | None):
        raise TypeError("bytes are a list")  # of one number, bytes() would make as many zeros
    data = token.encode("utf-8", "replace") if data is None else bytes(data)
    return TokenLogprob(printable(token), _likelihood(item["logprob"]), data, top)


def _older(said: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    tokens, values = said["tokens"], said["token_logprobs"]
    tops = said.get("top_logprobs") or [None] * len(tokens)
    return tuple(
        token_logprob(
            {"token": token, "logprob": value},
            tuple(
                token_logprob({"token": other, "logprob": likely})
                for other, likely in (top or {}).items()
            ),
        )
        for token, value, top in zip(tokens, values, tops, strict=True)
    )


def _likelihood(value: object) -> float:
    if value is None:
        return LEAST_LOGPROB
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ValueError("a likelihood is a number")
    return max(float(value), LEAST_LOGPROB) if value <= 0 else 0.0


# --- calls of tools, which some servers send in fragments


@dataclass
class _Fragments:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    size: int = 0


class Calls:
    """Puts the fragments of tool calls together, by their index."""

    def __init__(self) -> None:
        self._found: dict[int, _Fragments] = {}

    def feed(self, fragments: tuple[Mapping[str, Any], ...]) -> None:
        """Take what one chunk holds; raise EngineUnavailableError when it makes no sense."""
        try:
            for fragment in fragments:
                self._take(fragment)
        except (TypeError, AttributeError, KeyError) as error:
            raise _odd() from error

    def whole(self) -> tuple[ToolCall, ...]:
        """Return the calls in their order, complete now that the answer has ended."""
        for found in self._found.values():
            if not found.name:
                raise EngineUnavailableError("the engine called a tool without a name")
        return tuple(
            ToolCall(
                found.id or f"call_{index}", found.name, "".join(found.arguments).strip() or "{}"
            )
            for index, found in sorted(self._found.items())
        )

    def _take(self, fragment: Mapping[str, Any]) -> None:
        index = fragment.get("index", 0)
        function = fragment.get("function") or {}
        parts = (fragment.get("id"), function.get("name"), function.get("arguments"))
        if isinstance(parts[2], dict):
            raise TypeError("arguments are JSON as a text")
        if type(index) is not int or not all(part is None or type(part) is str for part in parts):
            raise TypeError("a fragment has an index and texts")
        found = self._found.setdefault(index, _Fragments())
        identifier, name, arguments = (printable(part or "") for part in parts)
        # Repeated by some servers in each fragment, split by none.
        found.id, found.name = found.id or identifier, found.name or name
        found.arguments.append(arguments)
        found.size += len(arguments)
        if len(self._found) > MAX_TOOL_CALLS or found.size > MAX_ARGUMENTS:
            raise EngineUnavailableError("the engine called tools without end")
