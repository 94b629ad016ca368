"""POST /v1/completions: a text is continued as it stands, whole or streamed."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, jsonify

from appliance.identity.permissions import Permission
from appliance.operations.answer_run import AnswerRun, AnswerState
from appliance.web.access import allow
from appliance.web.api import following, openai_replies
from appliance.web.api.described import Description, described
from appliance.web.api.openai_chat import DONE, EVENTS, WAITING, event, fault_event, frame
from appliance.web.api.openai_replies import Frame, TextLogprobs, TextReply
from appliance.web.api.openai_text_bodies import Completion

api = Blueprint("openai_completions", __name__, url_prefix="/v1")


@api.post("/completions")
@allow(Permission.ASK)
@described(
    Description("Continue a text", body=Completion, reply=TextReply, piece=TextReply,
                stream=EVENTS, names_entry=True)
)  # fmt: skip
def completions() -> Response:
    """Continue one text without the model's chat template and without the site's instructions."""
    body = following.read(Completion)
    return following.seated(lambda: _answer(body))


def _answer(body: Completion) -> Response:
    run = following.ask(lambda: body.question(following.purpose()), streams=bool(body.stream))
    opening = frame("cmpl", run)
    if body.stream:
        lines = _stream(opening, run, with_usage=body.wants_usage)
        return following.streamed(run, lines, EVENTS)
    state = following.whole(run)
    return following.named(jsonify(_whole(opening, state)), run, state)


def _whole(opening: Frame, state: AnswerState) -> TextReply:
    likely = openai_replies.text_logprobs(state.logprobs)
    reply = _reply(opening, state.text, likely, state.finish_reason)
    reply["usage"] = openai_replies.usage(state)
    return reply


def _stream(opening: Frame, run: AnswerRun, *, with_usage: bool) -> Iterator[str]:
    sent = 0
    for piece in following.pieces(run):
        if piece.waiting:
            yield WAITING
            continue
        likely = openai_replies.text_logprobs(piece.logprobs, sent)
        sent += len(piece.text)
        yield event(_reply(opening, piece.text, likely))
    state = run.snapshot()
    fault = fault_event(state)
    if fault is not None:
        yield fault
        return
    yield event(_reply(opening, "", None, state.finish_reason))
    if with_usage:
        last = _reply(opening, "", None)
        last["choices"], last["usage"] = [], openai_replies.usage(state)
        yield event(last)
    yield DONE


def _reply(
    opening: Frame, text: str, likely: TextLogprobs | None, reason: str | None = None
) -> TextReply:
    return {
        **opening,
        "object": "text_completion",
        "choices": [{"index": 0, "text": text, "logprobs": likely, "finish_reason": reason}],
        "usage": None,
    }
