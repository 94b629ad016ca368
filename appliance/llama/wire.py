"""What all answers of the engine are written with: events, usage, errors.

Pure. Source: the HTML standard's "Server-sent events"; OpenAI's API reference for errors. JSON is
ASCII, so that no character of an answer can be taken for the end of a line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

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
