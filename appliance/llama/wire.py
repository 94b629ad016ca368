"""The engine's answers as bytes: OpenAI's JSON and server-sent events.

Pure. Source: OpenAI's API reference for chat completions; the HTML standard's "Server-sent
events". JSON is ASCII, so that no character of an answer can be taken for the end of a line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.errors import (
    ApplianceError,
    BadInputError,
    ConflictError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from appliance.llama.events import Done

DONE = b"data: [DONE]\n\n"
# The first class that fits counts.
STATUS: tuple[tuple[type[ApplianceError], int], ...] = (
    (TooLargeError, 413),
    (BadInputError, 400),
    (NotFoundError, 404),
    (ConflictError, 409),
    (UnavailableError, 503),
)


@dataclass(frozen=True)
class Answer:
    """What all chunks of one answer have in common; `created` is in whole seconds."""

    identifier: str
    created: int
    digest: str

    def chunk(self, delta: Mapping[str, str], done: Done | None = None) -> bytes:
        """Return one event; the last one carries the finish reason and the usage."""
        choice = {"index": 0, "delta": delta, "finish_reason": done.reason if done else None}
        body = self._body("chat.completion.chunk", choice)
        return event({**body, "usage": usage(done)} if done else body)

    def whole(self, text: str, done: Done) -> dict[str, object]:
        """Return the body of an answer that was not streamed."""
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": done.reason}
        return {**self._body("chat.completion", choice), "usage": usage(done)}

    def _body(self, kind: str, choice: Mapping[str, object]) -> dict[str, object]:
        return {
            "id": self.identifier,
            "object": kind,
            "created": self.created,
            "model": self.digest,
            "choices": [choice],
        }


def usage(done: Done) -> dict[str, int]:
    return {
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.answer_tokens,
        "total_tokens": done.prompt_tokens + done.answer_tokens,
    }


def event(body: Mapping[str, object]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def comment(text: str) -> bytes:
    """Return a line that every reader of events skips, and that shows whether one still reads."""
    return f": {text}\n\n".encode()


def error_body(error: ApplianceError) -> dict[str, object]:
    kind = "invalid_request_error" if status_of(error) < 500 else "server_error"
    return {
        "error": {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "type": kind,
        }
    }


def status_of(error: ApplianceError) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)
