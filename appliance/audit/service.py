"""The ledger as a small HTTP service on its Unix socket: add and read, never change.

Who may speak to it is decided by the socket's folder (0700); there are no users here. A request
that fails gets `{"code", "message", "hint"}`, and the client turns it back into the error.

Not here: the socket, threads and processes (gunicorn, started by `appliance serve ledger`).
The `Log` must be made in the process that serves, after any fork: threads do not survive one.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from appliance.audit.entry import Event
from appliance.audit.ledger import MAX_REQUEST_BYTES
from appliance.audit.log import Log
from appliance.audit.query import Query
from appliance.errors import (
    ApplianceError,
    BadInputError,
    ConflictError,
    DiskFullError,
    TamperedError,
    TooLargeError,
    UnavailableError,
    VerificationError,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

STATUS: Mapping[type[ApplianceError], str] = {
    TooLargeError: "413 Content Too Large",
    BadInputError: "400 Bad Request",
    ConflictError: "409 Conflict",
    VerificationError: "422 Unprocessable Content",
    DiskFullError: "507 Insufficient Storage",
    UnavailableError: "503 Service Unavailable",
    ApplianceError: "500 Internal Server Error",
}


def create_app(log: Log) -> Flask:
    """Return the application over an open log; closing the log stays with the caller."""
    app = Flask("appliance.audit")
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it

    @app.post("/search")
    def search() -> dict[str, Any]:
        page = log.search(Query.from_json(_body()))
        return {"entries": list(page.entries), "next_before": page.next_before}

    @app.post("/verify")
    def verify() -> dict[str, Any]:
        found = log.verify()
        head = {"size": found.head.size, "leaf": found.head.leaf.hex()}
        return {
            "entries": found.entries,
            "first_t": found.first_t,
            "last_t": found.last_t,
            "head": head,
        }

    @app.post("/export")
    def export() -> Response:
        body = _body()
        if set(body) != {"format", "query"} or not isinstance(body["query"], dict):
            raise BadInputError("an export needs a format and a query")
        chunks = log.export(str(body["format"]), Query.from_json(body["query"]))
        return Response(_begun(chunks), mimetype="application/octet-stream")

    @app.get("/head")
    def head() -> dict[str, Any]:
        found = log.head()
        return {"size": found.size, "leaf": found.leaf.hex()}

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        return {"status": "ok", "size": log.head().size}

    app.register_error_handler(ApplianceError, _refuse)
    app.register_error_handler(HTTPException, _refuse_http)
    app.wsgi_app = _Appending(app.wsgi_app, log)  # type: ignore[method-assign]  # as Flask documents
    return app


class _Appending:
    """Handles `POST /events` before Flask does: every answer waits for it twice."""

    def __init__(self, others: WSGIApplication, log: Log) -> None:
        self._others = others
        self._log = log

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/events" or environ["REQUEST_METHOD"] != "POST":
            return self._others(environ, start_response)
        try:
            receipt = self._log.append(Event.from_json(_object(_read(environ))))
            status = "200 OK"
            answer = f'{{"seq":{receipt.seq},"leaf":"{receipt.leaf.hex()}","t":"{receipt.t}"}}'
            data = answer.encode()
        except ApplianceError as error:
            status, data = _status(error), json.dumps(_stated(error)).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(data)))]
        start_response(status, headers)
        return [data]


def _read(environ: WSGIEnvironment) -> bytes:
    try:
        length = int(environ.get("CONTENT_LENGTH") or "")
    except ValueError as error:
        raise BadInputError("the request has no length") from error
    if not 0 <= length <= MAX_REQUEST_BYTES:
        raise TooLargeError(f"a request may have {MAX_REQUEST_BYTES} bytes, this one has {length}")
    data: bytes = environ["wsgi.input"].read(length)
    return data


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadInputError("not a JSON object")
    return value


def _body() -> dict[str, Any]:
    return _object(request.get_data())


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Make the first chunk before the status line is sent, so that an early error is told."""
    return itertools.chain([next(chunks, b"")], chunks)


def _refuse(error: ApplianceError) -> Response:
    return Response(json.dumps(_stated(error)), _status(error), mimetype="application/json")


def _refuse_http(error: HTTPException) -> Response:
    kind = TooLargeError if error.code == 413 else BadInputError
    told = _refuse(kind(f"the ledger refused the request: {error.description}"))
    told.status_code = error.code or 500
    return told


def _stated(error: ApplianceError) -> dict[str, Any]:
    body: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.hint}
    if isinstance(error, TamperedError):
        body |= {"seq": error.seq, "what": error.what}
    return body


def _status(error: ApplianceError) -> str:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
