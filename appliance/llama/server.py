"""One model's process over HTTP, for a Unix socket that only gateway and manager can open.

Guarantee: every request gets an answer or an error with a code; a caller who leaves frees the
engine within one token, or within a heartbeat while the prompt is read. Prompts and answers are
never logged. Not here: users, policy, the record; whoever can open the socket may ask.

Routes: POST /v1/chat/completions, POST /tokenize, GET /status, GET /healthz.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, jsonify, request

from appliance.clock import Clock, System, new_id
from appliance.config import Engine as Settings
from appliance.errors import BadInputError, EngineUnavailableError
from appliance.llama import sampling as sampling_rules
from appliance.llama.events import Done, Failed, Piece, Waiting, Working
from appliance.llama.library_view import ActiveModel
from appliance.llama.model import Model
from appliance.llama.prompt import parse_turns
from appliance.llama.refusing import WrongModel, add_errors, json_body
from appliance.llama.wire import DONE, Answer, comment, error_body, event
from appliance.llama.worker import Job, Worker

MAX_BODY_BYTES = 16 * 1_048_576
HEARTBEAT_S = 0.5


def create_app(
    library: Path, model: ActiveModel, settings: Settings, *, clock: Clock | None = None
) -> Flask:
    """Return the application of one model, which begins to load at once, in background.

    To be called in the process that serves (gunicorn without `preload_app`), since threads do
    not survive a fork. `app.extensions["llama"]` is the `Worker`; its `close` ends the thread.
    """
    app = Flask("appliance.llama")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    worker = Worker(library, model, settings)
    app.extensions["llama"] = worker
    add_errors(app)
    _add_state_routes(app, worker)
    _add_model_routes(app, worker, settings, clock or System())
    worker.start()
    return app


def _add_state_routes(app: Flask, worker: Worker) -> None:
    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(ok=True)

    @app.get("/status")
    def status() -> Response:
        return jsonify(_status(worker))


def _add_model_routes(app: Flask, worker: Worker, settings: Settings, clock: Clock) -> None:
    limits = sampling_rules.Limits(settings.max_answer_tokens, settings.temperature_percent / 100)

    @app.post("/tokenize")
    def tokenize() -> Response:
        body = json_body()
        model = _named(worker, body["model"]) if "model" in body else _loaded(worker)
        turns = parse_turns(body.get("messages"))
        return jsonify(tokens=model.count(turns), context=model.context_tokens)

    @app.post("/v1/chat/completions")
    def chat() -> Response:
        body = json_body()
        stream = body.get("stream", False)
        if not isinstance(stream, bool):
            raise BadInputError("stream must be true or false")
        sampling = sampling_rules.parse(body, limits)
        turns = parse_turns(body.get("messages"))
        model = _named(worker, body.get("model"))
        job = worker.submit(model, model.prepare(turns, sampling), sampling)
        answer = Answer(new_id("chatcmpl"), int(clock.now()), model.digest)
        if not stream:
            return _whole(job, answer)
        response = Response(_stream(job, answer), mimetype="text/event-stream")
        # Also when the caller left before the first event: then the generator never started.
        response.call_on_close(job.cancel)
        response.headers["Cache-Control"] = "no-store"
        return response


def _status(worker: Worker) -> dict[str, object]:
    state, (running, waiting) = worker.state, worker.load_counts
    return {
        "state": state.state,
        "digest": state.model.digest if state.model else None,
        "context_tokens": state.model.context_tokens if state.model else 0,
        "waiting": waiting,
        "running": running,
        "detail": state.detail,
    }


def _loaded(worker: Worker) -> Model:
    state = worker.state
    if state.model is None:
        what = "is being loaded" if state.state == "loading" else "is not loaded"
        detail = f": {state.detail}" if state.detail else ""
        raise EngineUnavailableError(f"the model {what}{detail}")
    return state.model


def _named(worker: Worker, digest: object) -> Model:
    if not isinstance(digest, str):
        raise BadInputError("model must be the SHA-256 of the weights in hex")
    model = _loaded(worker)
    if digest != model.digest:
        raise WrongModel(f"another model is loaded ({model.digest}); nothing was asked")
    return model


def _stream(job: Job, answer: Answer) -> Iterator[bytes]:
    """Yield the events of an answer. Every write doubles as a check that somebody listens."""
    yield answer.chunk({"role": "assistant", "content": ""})
    for item in job.events(HEARTBEAT_S):
        match item:
            case Waiting(position):
                yield comment(f"queued {position}")
            case Working():
                yield comment("working")
            case Piece(text):
                yield answer.chunk({"content": text})
            case Done():
                yield answer.chunk({}, item)
                yield DONE
            case Failed(error):
                yield event(error_body(error))


def _whole(job: Job, answer: Answer) -> Response:
    pieces: list[str] = []
    try:
        for item in job.events(HEARTBEAT_S):
            match item:
                case Piece(text):
                    pieces.append(text)
                case Done():
                    return jsonify(answer.whole("".join(pieces), item))
                case Failed(error):
                    raise error
            if _caller_left():
                break
    finally:
        job.cancel()
    raise EngineUnavailableError("the caller left before the answer was complete")


def _caller_left() -> bool:
    """Look whether the other end closed the connection, where the server shows its socket."""
    connection = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    if not isinstance(connection, socket.socket):
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
