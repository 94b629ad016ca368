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

MAX_LINE_BYTES = 4 * 1_048_576
_QUEUED = re.compile(r": ?queued (\d{1,6})")
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class EngineSaidError(Exception):
    """The server reported an error inside the stream; `body` is what it sent."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__("the engine reported an error")
        self.body = body


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines in a byte stream, without their ends; a last half line is dropped."""
    held = b""
    for chunk in chunks:
        *whole, held = (held + chunk).split(b"\n")
        if len(held) > MAX_LINE_BYTES:
            raise EngineUnavailableError("the engine sent a line without end")
        for line in whole:
            yield line.rstrip(b"\r").decode("utf-8", "replace")


def progress(stream: Iterable[str]) -> Iterator[Progress]:
    """Yield what the events of one answer mean; the last value is `Finished`.

    A comment other than the queue's place becomes an empty `Delta`: the caller gets a chance to
    stop while the engine reads a long prompt. Raises EngineSaidError for an error event and
    EngineUnavailableError when the stream ends too early or makes no sense.
    """
    reason: FinishReason | None = None
    usage: Mapping[str, Any] = {}
    for line in stream:
        if line.startswith(":"):
            place = _QUEUED.fullmatch(line)
            yield Queued(int(place[1])) if place else Delta("")
        elif line.startswith("data:"):
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                break
            chunk = _chunk(data)
            usage = chunk.get("usage") or usage
            text, ended = _choice(chunk)
            reason = ended or reason
            if text:
                yield Delta(text)
    if reason is None:
        raise EngineUnavailableError("the engine stopped in the middle of the answer")
    yield Finished(reason, _tokens(usage, "prompt_tokens"), _tokens(usage, "completion_tokens"))


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


def _choice(chunk: Mapping[str, Any]) -> tuple[str, FinishReason | None]:
    """Return the text and the finish reason in a chunk; the usage chunk of some has neither."""
    try:
        choice = chunk["choices"][0] if chunk.get("choices") else {}
        text = choice.get("delta", {}).get("content") or ""
        ended = choice.get("finish_reason")
    except (TypeError, AttributeError, KeyError, IndexError) as error:
        raise EngineUnavailableError("the engine sent an event of another shape") from error
    # Servers know more reasons (`eos`, `content_filter`); for a person they all mean "it ended".
    known: FinishReason | None = None if ended is None else "stop"
    return _UNWANTED.sub("", str(text)), "length" if ended == "length" else known


def _tokens(usage: Mapping[str, Any], name: str) -> int:
    """Return a count, 0 when the server does not say."""
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return value if isinstance(value, int) and value >= 0 else 0
