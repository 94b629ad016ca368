"""Errors of the engine's two programs as JSON over HTTP, in one shape.

Guarantee: an unexpected fault shows its class and nothing of what was asked. Loads no llama.cpp,
so that the manager may use it too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from appliance.errors import (
    ApplianceError,
    BadInputError,
    EngineUnavailableError,
    NotFoundError,
    TooLargeError,
    fault_of,
)
from appliance.llama.wire import error_body, status_of

LOG = logging.getLogger("appliance.llama")
HTTP_ERRORS: Mapping[int, type[ApplianceError]] = {
    404: NotFoundError,
    405: BadInputError,
    413: TooLargeError,
}


class WrongModel(EngineUnavailableError):  # noqa: N818 - the name says it
    """Another model is loaded than the request names."""


def json_body() -> Mapping[str, object]:
    """Return the object that was sent; raise BadInputError for anything else."""
    try:
        body = request.get_json(force=True)
    except (RecursionError, UnicodeError) as error:
        raise BadInputError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise BadInputError("the body must be a JSON object")
    return body


def add_errors(app: Flask) -> None:
    """Answer every error of `app` in the one shape."""

    @app.errorhandler(ApplianceError)
    def refused(error: ApplianceError) -> tuple[Response, int]:
        status = 409 if isinstance(error, WrongModel) else status_of(error)
        return jsonify(error_body(error)), status

    @app.errorhandler(HTTPException)
    def not_served(error: HTTPException) -> tuple[Response, int]:
        status = error.code or 500
        kind = HTTP_ERRORS.get(status, BadInputError if status < 500 else ApplianceError)
        message = f"the request was not served: {error.name.lower()}"
        return jsonify(error_body(kind(message))), status

    @app.errorhandler(Exception)
    def failed(error: Exception) -> tuple[Response, int]:
        LOG.error("a request failed: %s", fault_of(error))
        message = f"the engine failed ({type(error).__name__}); nothing was asked"
        return jsonify(error_body(ApplianceError(message))), 500
