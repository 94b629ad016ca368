"""The ledger as a small HTTP service on its Unix socket: read, prove, anchor, let go of a prefix.

Events come in through a socket of their own (`intake.py`).

Who may speak to it is decided by the socket's folder and mode; there are no users here. A request
that fails gets `{"code", "message", "hint"}`, and the client turns it back into the error.

Not here: the socket, threads and processes (gunicorn, started by `appliance serve ledger`).
The `Log` must be made in the process that serves, after any fork: threads do not survive one.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from appliance.audit.chain import ChainHead
from appliance.audit.entry import Agent
from appliance.audit.intake import stated
from appliance.audit.ledger import MAX_REQUEST_BYTES
from appliance.audit.log import Log
from appliance.audit.query import Query
from appliance.errors import (
    ApplianceError,
    BadInputError,
    ConflictError,
    DiskFullError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    VerificationError,
)

STATUS: Mapping[type[ApplianceError], str] = {
    TooLargeError: "413 Content Too Large",
    BadInputError: "400 Bad Request",
    NotFoundError: "404 Not Found",
    ConflictError: "409 Conflict",
    VerificationError: "422 Unprocessable Content",
    DiskFullError: "507 Insufficient Storage",
    UnavailableError: "503 Service Unavailable",
    ApplianceError: "500 Internal Server Error",
}


Old = Callable[[], str]


def create_app(log: Log, old: Old | None = None) -> Flask:
    """Return the application over an open log; closing the log stays with the caller.

    `old` says at each request before which moment (RFC 3339) an entry was written that may be let
    go, `""` for none at all. So a caller that was taken over can append, and delete nothing that
    the ledger's own settings keep. Without it the caller alone decides.
    """
    app = Flask("appliance.audit")
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it

    _reading(app, log)
    _proving(app, log)
    _anchoring(app, log)
    _pruning(app, log, old)
    app.register_error_handler(ApplianceError, _refuse)
    app.register_error_handler(HTTPException, _refuse_http)
    return app


def _reading(app: Flask, log: Log) -> None:
    @app.post("/search")
    def search() -> dict[str, Any]:
        page = log.search(Query.from_json(_body()))
        return {"entries": list(page.entries), "next_before": page.next_before}

    @app.post("/verify")
    def verify() -> dict[str, Any]:
        found = _vars_of(log.verify())
        return {**found, "head": _stated_head(found["head"])}

    @app.post("/export")
    def export() -> Response:
        body = _body()
        if set(body) != {"format", "query"} or not isinstance(body["query"], dict):
            raise BadInputError("an export needs a format and a query")
        chunks = log.export(str(body["format"]), Query.from_json(body["query"]))
        return Response(_begun(chunks), mimetype="application/octet-stream")

    @app.get("/head")
    def head() -> dict[str, Any]:
        return _stated_head(log.head())

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        return {"status": "ok", "size": log.head().size}


def _proving(app: Flask, log: Log) -> None:
    @app.post("/checkpoint")
    def checkpoint() -> dict[str, Any]:
        return {"note": log.checkpoint()}

    @app.post("/prove")
    def prove() -> dict[str, Any]:
        return {"proof": log.prove(_number(_body(), "seq"))}

    @app.post("/handover")
    def handover() -> dict[str, Any]:
        return {"proof": log.handover(_number(_body(), "number"))}

    @app.post("/consistency")
    def consistency() -> dict[str, Any]:
        body = _body()
        proof = log.consistency(_number(body, "old_size"), str(body.get("note", "")))
        return {"proof": [item.hex() for item in proof]}

    @app.get("/keys")
    def keys() -> dict[str, Any]:
        return {"keys": [_vars_of(key) for key in log.keys()]}  # noqa: SIM118 - not a mapping


def _anchoring(app: Flask, log: Log) -> None:
    @app.get("/anchoring")
    def anchoring() -> dict[str, Any]:
        return _vars_of(log.anchoring())

    @app.post("/cosigned")
    def cosigned() -> dict[str, Any]:
        return {"note": log.cosigned(str(_body().get("witness", "")))}

    @app.post("/keep")
    def keep() -> dict[str, Any]:
        body = _body()
        log.keep(str(body.get("note", "")), str(body.get("witness", "")))
        return {}


def _pruning(app: Flask, log: Log, old: Old | None) -> None:
    @app.post("/prune")
    def prune() -> dict[str, Any]:
        body = _body()
        agent, source, basis = body.get("agent"), body.get("source"), body.get("basis")
        try:
            by = Agent(**agent)  # type: ignore[arg-type]  # whatever else came is a TypeError
        except TypeError as error:
            raise BadInputError("pruning needs an agent") from error
        texts = [by.user, by.role, by.method, "" if by.credential is None else by.credential]
        if not all(type(text) is str for text in texts):
            raise BadInputError("pruning needs an agent, whose fields are text")
        if not isinstance(basis, str) or not isinstance(source, str | None):
            raise BadInputError("pruning needs a basis, which is text")
        before = _number(body, "before")
        if old is not None:
            _require_old(log, before, old())
        return {"removed": log.prune(before, by, source, basis)}


def _require_old(log: Log, before: int, limit: str) -> None:
    """Raise BadInputError unless the newest entry to be let go was written before `limit`.

    Times are the ledger's own and go forward, but for a clock that an administrator sets back.
    """
    written = log.time_of(before - 1) if 0 < before <= log.head().size else None
    if written is not None and written >= limit:
        raise BadInputError(
            f"entry {before - 1} is not old enough to be let go",
            hint="retention.metadata_years of the ledger says how long entries are kept",
        )


def _vars_of(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that has slots."""
    return {item.name: getattr(value, item.name) for item in fields(value)}


def _stated_head(head: ChainHead) -> dict[str, Any]:
    return {"size": head.size, "leaf": head.leaf.hex()}


def _number(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    if type(value) is not int or value < 0:
        raise BadInputError(f"{name} must be a whole number of 0 or more")
    return value


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
    return Response(json.dumps(stated(error)), _status(error), mimetype="application/json")


def _refuse_http(error: HTTPException) -> Response:
    kind = TooLargeError if error.code == 413 else BadInputError
    told = _refuse(kind(f"the ledger refused the request: {error.description}"))
    told.status_code = error.code or 500
    return told


def _status(error: ApplianceError) -> str:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
