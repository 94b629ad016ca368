"""The record as files for others: streamed, so that its length does not matter.

`ndjson` is the record itself: the exact bytes that were hashed, one entry to a line (canonical
JSON has no line breaks), so that anyone can recompute every hash. `csv` is a view for a
spreadsheet, with number and leaf hash to find the entry again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from appliance.audit.chain import Stored
from appliance.errors import BadInputError

CHUNK_BYTES = 65_536
CSV_COLUMNS = (
    "seq", "leaf", "t", "type", "action", "outcome", "user", "role", "method", "credential",
    "source", "entity", "purpose", "model", "model_version", "model_digest", "prompt_tokens",
    "answer_tokens", "latency_ms", "policy", "content",
)  # fmt: skip
# Also the full-width forms, which spreadsheets in East Asian locales take for the plain ones.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def export(file_format: str, entries: Iterable[Stored]) -> Iterator[bytes]:
    """Return the file in chunks; raise BadInputError at once for a format that there is not."""
    writer = _FORMATS.get(file_format)
    if writer is None:
        raise BadInputError(
            f"there is no export format {file_format[:40]!r}",
            hint=f"choose one of: {', '.join(_FORMATS)}",
        )
    return _chunked(writer(entries))


def _ndjson(entries: Iterable[Stored]) -> Iterator[bytes]:
    for stored in entries:
        yield stored.data + b"\n"


def _csv(entries: Iterable[Stored]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")  # RFC 4180
    writer.writerow(CSV_COLUMNS)
    for stored in entries:
        writer.writerow([_cell(value) for value in _row(stored)])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def _row(stored: Stored) -> tuple[object, ...]:
    value: dict[str, Any] = json.loads(stored.data)
    agent, model, tokens = value["agent"], value["model"] or {}, value["tokens"] or {}
    content = value["content"]
    return (
        stored.seq, stored.leaf.hex(), value["t"], value["type"], value["action"],
        value["outcome"], agent["user"], agent["role"], agent["method"], agent["credential"],
        value["source"], value["entity"], value["purpose"], model.get("name"),
        model.get("version"), model.get("digest"), tokens.get("prompt"), tokens.get("answer"),
        value["latency_ms"], value["policy"],
        None if content is None else json.dumps(content, sort_keys=True, ensure_ascii=False),
    )  # fmt: skip


def _cell(value: object) -> object:
    """Return the value so that no spreadsheet takes it for a formula (OWASP: CSV injection)."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return "'" + value
    return value


def _chunked(lines: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


_FORMATS: Mapping[str, Callable[[Iterable[Stored]], Iterator[bytes]]] = {
    "ndjson": _ndjson,
    "csv": _csv,
}
