"""POST /v1/chat/completions: the next message of a conversation, whole or streamed.

Every question goes through the same operation as one typed in a page, with the same policy and
the same record. Not here: pictures and sound, several choices.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from flask import Blueprint, Response, jsonify

from appliance.errors import ApplianceError
from appliance.identity.permissions import Permission
from appliance.operations.answer_run import AnswerRun, AnswerState
from appliance.web import current, errors
from appliance.web.access import allow
from appliance.web.api import following, openai_replies
from appliance.web.api.described import Description, described
from appliance.web.api.following import Piece
from appliance.web.api.openai_bodies import Chat
from appliance.web.api.openai_replies import ChatDelta, ChatMessage, ChatPiece, ChatReply, Frame

api = Blueprint("openai_chat", __name__, url_prefix="/v1")

EVENTS = "text/event-stream"
WAITING = ": waiting\n\n"
DONE = "data: [DONE]\n\n"


@api.post("/chat/completions")
@allow(Permission.ASK)
@described(
    Description("Answer a list of messages", body=Chat, reply=ChatReply, piece=ChatPiece,
                stream=EVENTS, names_entry=True)
)  # fmt: skip
def chat() -> Response:
    """Answer a list of messages with the next one, or with calls of the tools offered.

    A streamed answer is a series of server-sent events that ends with `[DONE]`; lines that begin
    with a colon keep the connection awake. `metadata` may state `purpose` and `patient`.
    """
    body = following.read(Chat)
    return following.seated(lambda: _answer(body))


def _answer(body: Chat) -> Response:
    run = following.ask(lambda: body.question(following.purpose()), streams=bool(body.stream))
    reply = Reply(frame("chatcmpl", run), run)
    if body.stream:
        return following.streamed(run, reply.stream(with_usage=body.wants_usage), EVENTS)
    state = following.whole(run)
    return following.named(jsonify(reply.whole(state)), run, state)


def frame(prefix: str, run: AnswerRun) -> Frame:
    """Return what every reply about this answer says; `id` ends with its name in the record."""
    return {
        "id": f"{prefix}-{run.answer_id}",
        "created": int(current.gateway().appliance.clock.now()),
        "model": run.model.name,
        "system_fingerprint": f"{run.model.version}-{run.model.digest[:12]}",
    }


def event(value: Mapping[str, object]) -> str:
    """Return one server-sent event."""
    return f"data: {json.dumps(value)}\n\n"


def fault_event(state: AnswerState) -> str | None:
    """Return the event of an answer that ended before its time, or null."""
    try:
        following.raise_unless_complete(state)
    except ApplianceError as error:
        return event(errors.openai_body(error, errors.status_of(error)))
    return None


class Reply:
    """One answer in OpenAI's shapes."""

    def __init__(self, opening: Frame, run: AnswerRun) -> None:
        self._frame = opening
        self._run = run
        self._calls = 0

    def whole(self, state: AnswerState) -> ChatReply:
        """Return the body of an answer that was not streamed."""
        calls = [openai_replies.call(made) for made in state.tool_calls]
        text = None if calls and not state.text else state.text
        message: ChatMessage = {"role": "assistant", "content": text, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        return {
            **self._frame,
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": openai_replies.logprobs(state.logprobs),
                    "finish_reason": state.finish_reason,
                }
            ],
            "usage": openai_replies.usage(state),
        }

    def stream(self, *, with_usage: bool) -> Iterator[str]:
        """Yield the chunks."""
        yield event(self._chunk({"role": "assistant", "content": ""}))
        for piece in following.pieces(self._run):
            yield WAITING if piece.waiting else event(self._piece(piece))
        yield from self._end(self._run.snapshot(), with_usage)

    def _piece(self, piece: Piece) -> ChatPiece:
        delta: ChatDelta = {"content": piece.text} if piece.text else {}
        if piece.tool_calls:
            delta["tool_calls"] = [
                openai_replies.call_piece(self._calls + place, made)
                for place, made in enumerate(piece.tool_calls)
            ]
            self._calls += len(piece.tool_calls)
        chunk = self._chunk(delta)
        chunk["choices"][0]["logprobs"] = openai_replies.logprobs(piece.logprobs)
        return chunk

    def _end(self, state: AnswerState, with_usage: bool) -> Iterator[str]:
        fault = fault_event(state)
        if fault is not None:
            yield fault
            return
        yield event(self._chunk({}, state.finish_reason))
        if with_usage:
            last = self._chunk({})
            last["choices"], last["usage"] = [], openai_replies.usage(state)
            yield event(last)
        yield DONE

    def _chunk(self, delta: ChatDelta, finish_reason: str | None = None) -> ChatPiece:
        return {
            **self._frame,
            "object": "chat.completion.chunk",
            "choices": [
                {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            ],
            "usage": None,
        }
