"""Reading server-sent events from any OpenAI-compatible server.

Pure: bytes in, lines and values out. Lines end at LF only: a JSON text may hold U+2028 or U+0085
as they are, and a reader that splits there (as httpx's own does) breaks the event.
Source: HTML standard, "Server-sent events"; one `data` line per event, as these servers send.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from appliance.errors import EngineUnavailableError
from appliance.inference.engine import Delta, Finished, FinishReason, Progress, Queued
from appliance.inference.pieces import Calls, count_in, piece

MAX_LINE_BYTES = 4 * 1_048_576
KINDS = ("prompt", "completion")
_QUEUED = re.compile(r": ?queued (\d{1,6})")


class EngineSaidError(Exception):
    """The server reported an error inside the stream; `body` is what it sent."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__("the engine reported an error")
        self.body = body


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines in a byte stream, without their ends; a last half line is dropped."""
    for batch in _batches(chunks):
        yield from batch


def _batches(chunks: Iterable[bytes]) -> Iterator[list[str]]:
    """Yield the lines that end in each chunk."""
    held = bytearray()
    for chunk in chunks:
        first, *more = chunk.split(b"\n")
        held += first
        batch = []
        for line in more:
            batch.append(held.rstrip(b"\r").decode("utf-8", "replace"))
            held = bytearray(line)
        yield batch
        if len(held) > MAX_LINE_BYTES:
            raise EngineUnavailableError("the engine sent a line without end")


def answer(chunks: Iterable[bytes], model: str | None = None) -> Iterator[Progress]:
    """Yield what `progress` does, where pieces that came in one chunk are one.

    Every piece is shown to whoever watches, so what came together is shown together.
    """
    reader = _Reader(model)
    for batch in _batches(chunks):
        steps: list[Progress] = []
        fault: Exception | None = None
        try:
            for line in batch:
                steps += reader.read(line)
        except (EngineSaidError, EngineUnavailableError) as error:
            fault = error  # after what the engine said before it
        yield from _joined(steps)
        if fault is not None:
            raise fault
        if reader.done:
            break
    yield from reader.end()


def progress(stream: Iterable[str], model: str | None = None) -> Iterator[Progress]:
    """Yield what the events of one answer mean; the last value is `Finished`.

    A comment other than the queue's place becomes an empty `Delta`: the caller gets a chance to
    stop while the engine reads a long prompt. Calls of tools come whole, after all text. With
    `model`, an answer that names another one is refused. Raises EngineSaidError for an error
    event and EngineUnavailableError when the stream ends too early or makes no sense.
    """
    reader = _Reader(model)
    for line in stream:
        yield from reader.read(line)
        if reader.done:
            break
    yield from reader.end()


class _Reader:
    """What was said so far in one answer; `done` once the server said that this is all."""

    def __init__(self, model: str | None) -> None:
        self.done = False
        self._model = model
        self._reason: FinishReason | None = None
        self._usage: Mapping[str, Any] = {}
        self._calls = Calls()

    def read(self, line: str) -> Sequence[Progress]:
        """Return what one line means."""
        if self.done:
            return ()
        if line.startswith(":"):
            place = _QUEUED.fullmatch(line)
            return (Queued(int(place[1])) if place else Delta(""),)
        if not line.startswith("data:"):
            return ()
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            self.done = True
            return ()
        chunk = _chunk(data)
        if self._model is not None and chunk.get("model", self._model) != self._model:
            raise EngineUnavailableError("another model answered; its answer is not used")
        self._usage = chunk.get("usage") or self._usage
        said = piece(chunk)
        self._calls.feed(said.calls)
        self._reason = said.ended or self._reason
        if said.text or said.logprobs or said.calls or said.alive:
            return (Delta(said.text, said.logprobs),)
        return ()

    def end(self) -> Iterator[Progress]:
        """Yield what is known only at the end."""
        reason = self._reason
        if reason is None:
            raise EngineUnavailableError("the engine stopped in the middle of the answer")
        # A call that was cut short is nothing that anybody should run.
        if reason != "length" and (whole := self._calls.whole()):
            reason = "tool_calls"  # some servers say `stop` when the caller named the tool
            yield Delta("", tool_calls=whole)
        read, written = (count_in(self._usage, f"{kind}_tokens") for kind in KINDS)
        yield Finished(reason, read, written)


def _joined(steps: Sequence[Progress]) -> Iterator[Progress]:
    for is_piece, some in itertools.groupby(steps, lambda step: isinstance(step, Delta)):
        if not is_piece:
            yield from some
            continue
        pieces = [step for step in some if isinstance(step, Delta)]
        text = "".join(step.text for step in pieces)
        yield Delta(text, tuple(likely for step in pieces for likely in step.logprobs))


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
