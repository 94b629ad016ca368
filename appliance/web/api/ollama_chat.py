"""POST /api/chat and /api/generate: Ollama's two ways to ask, streamed as lines of JSON.

The question goes through the same operation as one from a page. While nothing is new, an empty
piece is sent every second, so that a program that hung up is noticed: lines of JSON have no
comments. A body that asks nothing, with which Ollama loads a model, is told that it is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from flask import Blueprint, Response, jsonify

from appliance.errors import ApplianceError, NotFoundError
from appliance.identity.permissions import Permission
from appliance.operations.answer_run import AnswerRun
from appliance.web import current, errors
from appliance.web.access import allow
from appliance.web.api import following, ollama_replies
from appliance.web.api.described import Description, described
from appliance.web.api.following import Piece
from appliance.web.api.ollama_bodies import Chat, Generate
from appliance.web.api.ollama_replies import ChatReply, GenerateReply, Message, Part

api = Blueprint("ollama_chat", __name__, url_prefix="/api")

LINES = "application/x-ndjson"
Reply = ChatReply | GenerateReply
# Puts text and calls beside what every reply says; the second is the number of calls before.
Shape = Callable[[Part, Piece, int], Reply]


@api.post("/chat")
@allow(Permission.ASK)
@described(
    Description("Answer a list of messages (Ollama)", body=Chat, reply=ChatReply, piece=ChatReply,
                stream=LINES, names_entry=True)
)  # fmt: skip
def chat() -> Response:
    """Answer a list of messages; streamed unless `stream` is false."""
    return _answer(following.read(Chat), _as_message)


@api.post("/generate")
@allow(Permission.ASK)
@described(
    Description("Answer one text (Ollama)", body=Generate, reply=GenerateReply,
                piece=GenerateReply, stream=LINES, names_entry=True)
)  # fmt: skip
def generate() -> Response:
    """Answer one text in the model's template, or continue it as it stands (`raw`)."""
    return _answer(following.read(Generate), _as_text)


def _answer(body: Chat | Generate, shape: Shape) -> Response:
    if not body.asks:
        return _loaded(body, shape)
    return following.seated(lambda: _asked(body, shape))


def _asked(body: Chat | Generate, shape: Shape) -> Response:
    run = following.ask(lambda: body.question(following.purpose()), streams=body.is_streamed)
    if body.is_streamed:
        return following.streamed(run, _stream(run, shape), LINES)
    state = following.whole(run)
    part = ollama_replies.ending(run.model.name, _now(), state)
    everything = Piece(state.text, state.logprobs, state.tool_calls)
    return following.named(jsonify(shape(part, everything, 0)), run, state)


def _loaded(body: Chat | Generate, shape: Shape) -> Response:
    if body.unloads:
        current.operations().managing_models_refusal.refuse(current.actor(), "unload")
    usable = {facts.name for facts in current.operations().asking.models_for(current.actor())}
    if body.name not in usable:
        raise NotFoundError("there is no such model", hint="GET /api/tags lists what you may use")
    part = _part(body.name, done=True)
    part["done_reason"] = "load"
    return jsonify(shape(part, Piece(), 0))


def _stream(run: AnswerRun, shape: Shape) -> Iterator[str]:
    try:
        yield from _pieces(run, shape)
        state = run.snapshot()
        following.raise_unless_complete(state)
        yield _line(shape(ollama_replies.ending(run.model.name, _now(), state), Piece(), 0))
    except ApplianceError as error:
        yield _line(errors.ollama_body(error))


def _pieces(run: AnswerRun, shape: Shape) -> Iterator[str]:
    calls = 0
    for piece in following.pieces(run):
        yield _line(shape(_part(run.model.name), piece, calls))
        calls += len(piece.tool_calls)


def _as_message(part: Part, piece: Piece, calls: int) -> ChatReply:
    message: Message = {"role": "assistant", "content": piece.text}
    if piece.tool_calls:
        message["tool_calls"] = ollama_replies.calls(piece.tool_calls, calls)
    return {**_with_logprobs(part, piece), "message": message}


def _as_text(part: Part, piece: Piece, calls: int) -> GenerateReply:
    return {**_with_logprobs(part, piece), "response": piece.text}


def _with_logprobs(part: Part, piece: Piece) -> Part:
    if not piece.logprobs:
        return part
    return {**part, "logprobs": ollama_replies.likely(piece.logprobs)}


def _part(model: str, *, done: bool = False) -> Part:
    return {"model": model, "created_at": ollama_replies.moment(_now()), "done": done}


def _now() -> float:
    return current.gateway().appliance.clock.now()


def _line(value: Mapping[str, object]) -> str:
    return json.dumps(value) + "\n"
