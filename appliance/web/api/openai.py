"""The OpenAI-compatible API: chat completions, whole or streamed, and the list of models.

Every question goes through the same operation as one typed in a page, with the same policy and
the same record. Unlike a page, a program that hangs up has lost interest: its answer is stopped.
Not here: tools, pictures, embeddings, several choices.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, request, stream_with_context

from appliance.errors import (
    ApplianceError,
    BadInputError,
    BusyError,
    ConflictError,
    NotFoundError,
)
from appliance.identity.permissions import Permission
from appliance.operations.answer_run import AnswerRun, AnswerState
from appliance.operations.questions import Question
from appliance.policy.decision import ModelFacts
from appliance.web import current, errors
from appliance.web.access import allow
from appliance.web.api.bodies import Completion
from appliance.web.api.caller import has_hung_up
from appliance.web.refusals import refuse
from appliance.web.seats import Release

api = Blueprint("openai", __name__, url_prefix="/v1")

LOOK_EVERY_S = 1.0
# So long a stream waits for its first news, to give an early refusal a status of its own.
FIRST_NEWS_S = 1.5
DONE = "data: [DONE]\n\n"


@api.get("/models")
@allow(Permission.ASK)
def models() -> Response:
    """List the models that the key's owner may ask."""
    usable = current.operations().asking.models_for(current.actor())
    return jsonify({"object": "list", "data": [_model(facts) for facts in usable]})


@api.get("/models/<model:name>")
@allow(Permission.ASK)
def model(name: str) -> Response:
    """Describe one model that the key's owner may ask."""
    for facts in current.operations().asking.models_for(current.actor()):
        if facts.name == name:
            return jsonify(_model(facts))
    raise NotFoundError("there is no such model", hint="GET /v1/models lists what you may use")


@api.post("/chat/completions")
@allow(Permission.ASK)
def completions() -> Response:
    """Answer a list of messages with the next one."""
    try:
        body = Completion.read(request.get_data())
        question = body.question(request.headers.get("X-Purpose"))
    except BadInputError as error:
        refuse(error)
    give_back = _seat()
    try:
        response = _answer(body, question)
    except BaseException:
        give_back()
        raise
    # A stream holds its thread until the last byte is out or the caller has hung up.
    response.call_on_close(give_back)
    return response


def _seat() -> Release:
    try:
        return current.gateway().seats.program()
    except BusyError as error:
        refuse(error)


def _answer(body: Completion, question: Question) -> Response:
    run = current.operations().asking.ask(current.actor(), question)
    created = int(current.gateway().appliance.clock.now())
    reply = Reply(run, created)
    if not body.stream:
        return _whole(reply, _await_end(run))
    _await_news(run)
    stream = reply.stream(with_usage=body.wants_usage)
    response = Response(stream_with_context(stream), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(lambda: run.stop("disconnected"))
    return response


def _whole(reply: Reply, state: AnswerState) -> Response:
    response = jsonify(reply.whole(state))
    if state.record_seq is not None:
        response.headers["X-Receipt-Entry"] = str(state.record_seq)
    return response


def _model(facts: ModelFacts) -> dict[str, Any]:
    return {
        "id": facts.name,
        "object": "model",
        "created": 0,
        "owned_by": "appliance",
        "version": facts.version,
        "digest": facts.digest,
        "demo": facts.demo,
    }


def _await_end(run: AnswerRun) -> AnswerState:
    """Return the complete answer; stop it when the caller hangs up before."""
    while not (state := run.finished(LOOK_EVERY_S)).ended:
        if has_hung_up():
            run.stop("disconnected")
    _raise_unless_complete(state)
    return state


def _await_news(run: AnswerRun) -> None:
    state, waited = run.snapshot(), 0.0
    while not state.text and not state.ended and waited < FIRST_NEWS_S:
        began = state.elapsed_ms
        state = run.wait(state.version, FIRST_NEWS_S - waited)
        waited += max((state.elapsed_ms - began) / 1000, 0.01)
    if state.ended and not state.text:
        _raise_unless_complete(state)


def _raise_unless_complete(state: AnswerState) -> None:
    if state.error is not None:
        raise state.error
    if state.state == "stopped":
        raise ConflictError("the answer was stopped before it was complete", hint="ask again")


class Reply:
    """One answer in OpenAI's shapes."""

    def __init__(self, run: AnswerRun, created: int) -> None:
        self._run = run
        self._frame = {
            "id": f"chatcmpl-{run.answer_id}",
            "created": created,
            "model": run.model.name,
            "system_fingerprint": f"{run.model.version}-{run.model.digest[:12]}",
        }

    def whole(self, state: AnswerState) -> dict[str, Any]:
        """Return the body of an answer that was not streamed."""
        message = {"role": "assistant", "content": state.text, "refusal": None}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": state.finish_reason,
        }
        return {
            **self._frame,
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(state),
        }

    def stream(self, *, with_usage: bool) -> Iterator[str]:
        """Yield the chunks; lines that begin with a colon keep the connection awake."""
        yield self._chunk({"role": "assistant", "content": ""})
        version, sent, ended = -1, 0, False
        while not ended:
            state = self._run.wait(version, LOOK_EVERY_S)
            if state.version == version:
                yield ": waiting\n\n"
                continue
            version, ended = state.version, state.ended
            if len(state.text) > sent:
                yield self._chunk({"content": state.text[sent:]})
                sent = len(state.text)
        yield from self._end(state, with_usage)

    def _end(self, state: AnswerState, with_usage: bool) -> Iterator[str]:
        try:
            _raise_unless_complete(state)
        except ApplianceError as error:
            yield _line(errors.openai_body(error, errors.status_of(error)))
            return
        yield self._chunk({}, state.finish_reason)
        if with_usage:
            yield _line({**self._chunk_frame, "choices": [], "usage": _usage(state)})
        yield DONE

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _line({**self._chunk_frame, "choices": [choice]})

    @property
    def _chunk_frame(self) -> dict[str, Any]:
        return {**self._frame, "object": "chat.completion.chunk"}


def _usage(state: AnswerState) -> dict[str, int]:
    prompt, answer = state.prompt_tokens or 0, state.answer_tokens or 0
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _line(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"
