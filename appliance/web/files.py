"""A response that a browser keeps as a file instead of showing it."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Response


def attachment(data: str | Iterable[bytes], name: str, media_type: str) -> Response:
    """Return `data` as a file; `name` is one of ours, so it needs no escaping."""
    response = Response(data, mimetype=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def proof(text: str, name: str) -> Response:
    """Return a tlog-proof as a file."""
    return attachment(text, f"{name}.tlog-proof", "text/plain")
