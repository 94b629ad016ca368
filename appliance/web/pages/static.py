"""Stylesheet, scripts and icon: the only responses that a browser may keep."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, request, send_from_directory, url_for

from appliance.web.access import public

FOLDER = Path(__file__).parent.parent / "static"
pages = Blueprint("static_files", __name__)


@pages.get("/static/<path:name>")
@public("the same files for everyone; no content, no secret")
def file(name: str) -> Response:
    """Send one file; forever fresh when the address carries its digest."""
    response = send_from_directory(FOLDER, name)
    pinned = request.args.get("v") == digest(name)
    response.headers["Cache-Control"] = "max-age=31536000, immutable" if pinned else "no-cache"
    return response


def address(name: str) -> str:
    """Return the address of a static file, with its digest in it."""
    return url_for("static_files.file", name=name, v=digest(name))


@cache
def digest(name: str) -> str:
    """Return the first characters of a file's SHA-256, computed once."""
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:16]
