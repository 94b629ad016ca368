"""The witness over HTTP, as a plain WSGI callable: C2SP tlog-witness, and a little more.

    POST /add-checkpoint   asks for a cosignature (C2SP tlog-witness)
    POST /add-key          shows the hand-over to the log's next key (ours)
    GET  /keys             the log's keys as known here, the newest last (ours)
    GET  /checkpoint       the checkpoint that was cosigned last (ours, for auditors)

No TLS and no sign-in: every body is public, and signed by the log or by this witness. Who can
change packets on the way can keep the witness from hearing, but cannot make it sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from appliance.audit.tlog_witness import ADD_CHECKPOINT, ADD_KEY, MAX_BODY, Step
from appliance.audit.witness_folder import Answer, WitnessFolder
from appliance.errors import ApplianceError, fault_of

log = structlog.get_logger(__name__)

REASONS = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 409: "Conflict", 413: "Content Too Large",
    422: "Unprocessable Content", 500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class WitnessService:
    """Answers requests out of one witness's folder."""

    def __init__(self, witness: WitnessFolder) -> None:
        self._witness = witness

    def __call__(self, environ: Mapping[str, Any], start: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        answer = self._answer(environ)
        body = answer.text.encode()
        headers = [
            ("Content-Type", answer.media_type),
            ("Content-Length", str(len(body))),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),
        ]
        start(f"{answer.status} {REASONS[answer.status]}", headers)
        return [body]

    def _answer(self, environ: Mapping[str, Any]) -> Answer:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        kind = path.removeprefix("/")
        try:
            if kind in {ADD_CHECKPOINT, ADD_KEY}:
                return self._post(kind, environ) if method == "POST" else _other_method()
            if path in {"/keys", "/checkpoint"}:
                return self._get(path) if method == "GET" else _other_method()
            return Answer(404, "there is nothing here\n")
        except ApplianceError as error:
            log.error("no answer could be given", code=error.code)
            return Answer(503, f"{error.message}\n")
        except Exception as error:
            log.error("an unexpected error", fault=fault_of(error))
            return Answer(500, "an unexpected error; the witness's log names it\n")

    def _post(self, kind: str, environ: Mapping[str, Any]) -> Answer:
        body = environ["wsgi.input"].read(MAX_BODY[kind] + 1)
        if len(body) > MAX_BODY[kind]:
            return Answer(413, f"at most {MAX_BODY[kind]} bytes\n")
        return self._witness.answer(Step(kind, body))

    def _get(self, path: str) -> Answer:
        text = self._witness.keys() if path == "/keys" else self._witness.newest()
        return Answer(404, "nothing was cosigned yet\n") if text is None else Answer(200, text)


def _other_method() -> Answer:
    return Answer(405, "another method is needed\n")
