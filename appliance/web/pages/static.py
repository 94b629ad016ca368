"""Stylesheet, scripts and icon: the only responses that a browser may keep.

They are read once, at start, and served from memory: no path that a request names ever reaches
the file system.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, request, url_for

from appliance.errors import NotFoundError
from appliance.web.access import public

FOLDER = Path(__file__).parent.parent / "static"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
pages = Blueprint("static_files", __name__)


@pages.get("/static/<name>")
@public("the same files for everyone; no content, no secret")
def file(name: str) -> Response:
    """Send one file; forever fresh when the address carries its digest."""
    data = _files().get(name)
    if data is None:
        raise NotFoundError("there is no such file")
    response = Response(data, mimetype=MEDIA_TYPES[Path(name).suffix])
    response.set_etag(digest(name))
    pinned = request.args.get("v") == digest(name)
    response.headers["Cache-Control"] = "max-age=31536000, immutable" if pinned else "no-cache"
    response.make_conditional(request)
    return response


def address(name: str) -> str:
    """Return the address of a static file, with its digest in it."""
    return url_for("static_files.file", name=name, v=digest(name))


@cache
def digest(name: str) -> str:
    """Return the first characters of a file's SHA-256."""
    return hashlib.sha256(_files()[name]).hexdigest()[:16]


@cache
def _files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES}
