"""The engine's manager over HTTP, for a Unix socket that only the gateway can open.

Routes: GET /healthz, GET /status, POST /prepare {"model"}, POST /release {"digest"},
POST /stop {"digest"}, POST /reload. Not here: questions, which go to the models' own sockets;
what the verbs do (`inference/manager.py`). Loads no llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from flask import Flask, Response, jsonify

from appliance.errors import BadInputError
from appliance.llama.refusing import add_errors, json_body

MAX_BODY_BYTES = 65_536


class Manager(Protocol):
    """What the routes need."""

    def status(self) -> dict[str, Any]: ...
    def prepare(self, wanted: Mapping[str, Any]) -> None: ...
    def release(self, digest: str) -> None: ...
    def stop(self, digest: str) -> None: ...
    def reload(self) -> None: ...


def create_app(manager: Manager) -> Flask:
    """Return the manager's application; the manager runs already."""
    app = Flask("appliance.engine")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    add_errors(app)

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(ok=True)

    @app.get("/status")
    def status() -> Response:
        return jsonify(manager.status())

    @app.post("/prepare")
    def prepare() -> Response:
        model = json_body().get("model")
        if not isinstance(model, dict):
            raise BadInputError("model must be an object")
        manager.prepare(model)
        return jsonify(ok=True)

    @app.post("/release")
    def release() -> Response:
        manager.release(_digest())
        return jsonify(ok=True)

    @app.post("/stop")
    def stop() -> Response:
        manager.stop(_digest())
        return jsonify(ok=True)

    @app.post("/reload")
    def reload() -> tuple[Response, int]:
        manager.reload()
        return jsonify(manager.status()), 202

    return app


def _digest() -> str:
    digest = json_body().get("digest")
    if not isinstance(digest, str):
        raise BadInputError("digest must be the SHA-256 of the weights in hex")
    return digest
