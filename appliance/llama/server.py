"""One model's process over HTTP, for a Unix socket that only gateway and manager can open.

Guarantee: every request gets an answer or an error with a code; a caller who leaves frees the
engine within one token, or within a heartbeat while the prompt is read. Prompts and answers are
never logged. Not here: users, policy, the record; whoever can open the socket may ask.

Routes: POST /v1/chat/completions, /v1/completions, /v1/embeddings and /tokenize; GET /status and
/healthz; POST /threads {"threads"}, by which the manager shares out the processors.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from flask import Flask, Response, jsonify, request

from appliance.clock import Clock, System, new_id
from appliance.config import Engine as Settings
from appliance.errors import BadInputError, EngineUnavailableError
from appliance.llama.asking import (
    Asked,
    counted,
    read_chat,
    read_completion,
    read_embedding,
    submitted,
)
from appliance.llama.embeddings import Embedder
from appliance.llama.events import Called, Done, Event, Failed, Piece, Waiting, Working
from appliance.llama.library_view import ActiveModel
from appliance.llama.model import Model
from appliance.llama.refusing import WrongModel, add_errors, json_body
from appliance.llama.replies import ChatAnswer, CompletionAnswer, embeddings
from appliance.llama.sampling import Limits
from appliance.llama.wire import DONE, comment, error_body, event
from appliance.llama.worker import Job, Worker

MAX_BODY_BYTES = 16 * 1_048_576
HEARTBEAT_S = 0.5
MOST_THREADS = 1_024


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
    _add_embedding_route(app, worker)
    worker.start()
    return app


def _add_state_routes(app: Flask, worker: Worker) -> None:
    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(ok=True)

    @app.get("/status")
    def status() -> Response:
        return jsonify(_status(worker))

    @app.post("/threads")
    def threads() -> Response:
        count = json_body().get("threads")
        if type(count) is not int or not 1 <= count <= MOST_THREADS:
            raise BadInputError(f"threads must lie between 1 and {MOST_THREADS}")
        worker.use_threads(count)
        return jsonify(ok=True)


def _add_model_routes(app: Flask, worker: Worker, settings: Settings, clock: Clock) -> None:
    limits = Limits(settings.max_answer_tokens, settings.temperature_percent / 100)

    @app.post("/tokenize")
    def tokenize() -> Response:
        body = json_body()
        model = _named(worker, body["model"]) if "model" in body else _loaded(worker)
        return jsonify(tokens=counted(model, body), context=model.context_tokens)

    def answered(
        read: Callable[[Mapping[str, object], Limits], Asked],
        kind: type[ChatAnswer] | type[CompletionAnswer],
        prefix: str,
    ) -> Response:
        with worker.expecting():
            body = json_body()
            asked, stream = read(body, limits), _streams(body)
            model = _named(worker, body.get("model"))
            job = submitted(worker, model, asked)
        answer = kind(new_id(prefix), int(clock.now()), model.digest)
        return _reply(asked.read(job.events(HEARTBEAT_S), model), job, answer, stream)

    @app.post("/v1/chat/completions")
    def chat() -> Response:
        return answered(read_chat, ChatAnswer, "chatcmpl")

    @app.post("/v1/completions")
    def complete() -> Response:
        return answered(read_completion, CompletionAnswer, "cmpl")


def _add_embedding_route(app: Flask, worker: Worker) -> None:
    """Begin with embeddings when somebody asks for the first; most models never need them."""
    lock = threading.Lock()
    ready: list[Embedder] = []

    @app.post("/v1/embeddings")
    def embed() -> Response:
        body = json_body()
        texts = read_embedding(body)
        model = _named(worker, body.get("model"))
        with lock:
            if not ready:
                ready.append(Embedder(model.weights))
        found = ready[0].embed(texts, _caller_left)
        return jsonify(embeddings(found.vectors, found.tokens, model.digest))


def _streams(body: Mapping[str, object]) -> bool:
    stream = body.get("stream", False)
    if not isinstance(stream, bool):
        raise BadInputError("stream must be true or false")
    return stream


def _reply(
    events: Iterator[Event], job: Job, answer: ChatAnswer | CompletionAnswer, stream: bool
) -> Response:
    if not stream:
        return _whole(events, job, answer)
    response = Response(_stream(events, answer), mimetype="text/event-stream")
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
        "slots": worker.slots,
        "steps": worker.steps,
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


def _stream(events: Iterator[Event], answer: ChatAnswer | CompletionAnswer) -> Iterator[bytes]:
    """Yield the events of an answer. Every write doubles as a check that somebody listens."""
    yield from answer.opening()
    for item in events:
        match item:
            case Waiting(position):
                yield comment(f"queued {position}")
            case Working():
                yield comment("working")
            case Piece():
                yield answer.piece(item)
            case Called():
                yield answer.call(item)
            case Done():
                yield answer.end(item)
                yield DONE
            case Failed(error):
                yield event(error_body(error))


def _whole(events: Iterator[Event], job: Job, answer: ChatAnswer | CompletionAnswer) -> Response:
    parts: list[Piece | Called] = []
    try:
        for item in events:
            match item:
                case Piece() | Called():
                    parts.append(item)
                case Done():
                    return jsonify(answer.whole(parts, item))
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
