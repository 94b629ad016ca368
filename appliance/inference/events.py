"""Reading server-sent events from any OpenAI-compatible server.

Pure: bytes in, lines and values out. Lines end at LF only: a JSON text may hold U+2028 or U+0085
as they are, and a reader that splits there (as httpx's own does) breaks the event.
Source: HTML standard, "Server-sent events"; one `data` line per event, as these servers send.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from appliance.errors import EngineUnavailableError
from appliance.inference.engine import Delta, Finished, FinishReason, Progress, Queued
from appliance.inference.pieces import Calls, count_in, piece

MAX_LINE_BYTES = 4 * 1_048_576
_QUEUED = re.compile(r": ?queued (\d{1,6})")


class EngineSaidError(Exception):
    """The server reported an error inside the stream; `body` is what it sent."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__("the engine reported an error")
        self.body = body


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines in a byte stream, without their ends; a last half line is dropped."""
    held = bytearray()
    for chunk in chunks:
        first, *more = chunk.split(b"\n")
        held += first
        for line in more:
            yield held.rstrip(b"\r").decode("utf-8", "replace")
            held = bytearray(line)
        if len(held) > MAX_LINE_BYTES:
            raise EngineUnavailableError("the engine sent a line without end")


def progress(stream: Iterable[str], model: str | None = None) -> Iterator[Progress]:
    """Yield what the events of one answer mean; the last value is `Finished`.

    A comment other than the queue's place becomes an empty `Delta`: the caller gets a chance to
    stop while the engine reads a long prompt. Calls of tools come whole, after all text. With
    `model`, an answer that names another one is refused. Raises EngineSaidError for an error
    event and EngineUnavailableError when the stream ends too early or makes no sense.
    """
    reason: FinishReason | None = None
    usage: Mapping[str, Any] = {}
    calls = Calls()
    for line in stream:
        if line.startswith(":"):
            place = _QUEUED.fullmatch(line)
            yield Queued(int(place[1])) if place else Delta("")
        elif line.startswith("data:"):
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                break
            chunk = _chunk(data)
            if model is not None and chunk.get("model", model) != model:
                raise EngineUnavailableError("another model answered; its answer is not used")
            usage = chunk.get("usage") or usage
            said = piece(chunk)
            calls.feed(said.calls)
            reason = said.ended or reason
            if said.text or said.logprobs or said.calls or said.alive:
                yield Delta(said.text, said.logprobs)
    if reason is None:
        raise EngineUnavailableError("the engine stopped in the middle of the answer")
    # A call that was cut short is nothing that anybody should run.
    if reason != "length" and (whole := calls.whole()):
        reason = "tool_calls"  # some servers say `stop` when the caller named the tool
        yield Delta("", tool_calls=whole)
    yield Finished(reason, count_in(usage, "prompt_tokens"), count_in(usage, "completion_tokens"))


def _chunk(data: str) -> Mapping[str, Any]:
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EngineUnavailableError("the engine sent an event that is not JSON") from error
    if not isinstance(chunk, dict):
        raise EngineUnavailableError("the engine sent an event that is not an object")
    if "error" in chunk:
        raise EngineSaidError(chunk)
    return chunk
