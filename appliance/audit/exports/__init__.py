"""The record as files for others: streamed, so that its length does not matter.

`ndjson` is the record itself: the exact bytes that were hashed, one entry to a line (canonical
JSON has no line breaks), so that anyone can recompute every hash. All others are views in the
words of their readers; each carries number and leaf hash, to find the entry again. Which field
becomes what is on the page docs/reference/exports.md.

Not here: `tiles`, which needs the tree and not only entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from appliance.audit.chain import Stored
from appliance.audit.exports.cef import lines as cef_lines
from appliance.audit.exports.fhir import lines as fhir_lines
from appliance.audit.exports.ndjson import lines as ndjson_lines
from appliance.audit.exports.ocsf import lines as ocsf_lines
from appliance.audit.exports.otlp import lines as otlp_lines
from appliance.audit.exports.syslog import lines as syslog_lines
from appliance.audit.exports.table import lines as table_lines
from appliance.errors import BadInputError

CHUNK_BYTES = 65_536

_FORMATS: Mapping[str, Callable[[Iterable[Stored]], Iterator[bytes]]] = {
    "ndjson": ndjson_lines,
    "csv": table_lines,
    "fhir": fhir_lines,
    "syslog": syslog_lines,
    "cef": cef_lines,
    "ocsf": ocsf_lines,
    "otlp": otlp_lines,
}
FORMATS = tuple(_FORMATS)


def export(file_format: str, entries: Iterable[Stored]) -> Iterator[bytes]:
    """Return the file in chunks; raise BadInputError at once for a format that there is not."""
    writer = _FORMATS.get(file_format)
    if writer is None:
        raise BadInputError(
            f"there is no export format {file_format[:40]!r}",
            hint=f"choose one of: {', '.join(FORMATS)}",
        )
    return _chunked(writer(entries))


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
