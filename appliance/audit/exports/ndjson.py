"""NDJSON: the entries' exact bytes, one to a line; SHA-256(0x00 ‖ line) is the leaf hash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from appliance.audit.chain import Stored


def lines(entries: Iterable[Stored]) -> Iterator[bytes]:
    """Yield one line per entry."""
    for stored in entries:
        yield stored.data + b"\n"
