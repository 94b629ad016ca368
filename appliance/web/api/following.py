"""How a program's request is admitted, asked and followed to its end.

A page that is closed leaves its answer running; a program that hangs up has lost interest, so its
answer is stopped. Not here: the shapes of the APIs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from flask import Response, request, stream_with_context

from appliance.errors import BadInputError, BusyError, ConflictError
from appliance.inference.engine import TokenLogprob, ToolCall
from appliance.operations.answer_run import AnswerRun, AnswerState
from appliance.operations.embedding import Embedded
from appliance.operations.questions import Question
from appliance.web import current
from appliance.web.api.bodies import Body
from appliance.web.api.caller import has_hung_up
from appliance.web.refusals import refuse
from appliance.web.seats import Release

LOOK_EVERY_S = 1.0
# So long a stream waits for its first news, to give an early refusal a status of its own.
FIRST_NEWS_S = 1.5
Kind = TypeVar("Kind", bound=Body)


@dataclass(frozen=True)
class Piece:
    """What is new of an answer. `waiting`: nothing is; a sign of life may be sent."""

    text: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    waiting: bool = False


def purpose() -> str | None:
    """Return the purpose of use that a header states."""
    return request.headers.get("X-Purpose")


def read(kind: type[Kind]) -> Kind:
    """Return the checked body of this request; a bad one is recorded as refused."""
    try:
        return kind.read(request.get_data())
    except BadInputError as error:
        refuse(error)


def seated(answer: Callable[[], Response]) -> Response:
    """Answer while holding a seat: a stream holds its thread until its last byte is out."""
    give_back = _seat()
    try:
        response = answer()
    except BaseException:
        give_back()
        raise
    response.call_on_close(give_back)
    return response


def _seat() -> Release:
    try:
        return current.gateway().seats.program()
    except BusyError as error:
        refuse(error)


def ask(question: Callable[[], Question], *, streams: bool) -> AnswerRun:
    """Ask the question that a body holds; a body that holds none is recorded as refused.

    Unless the answer streams, it has ended on return; it is stopped when the caller hangs up.
    """
    try:
        asked = question()
    except BadInputError as error:
        refuse(error)
    asking = current.operations().asking
    if streams:
        return asking.ask(current.actor(), asked)
    return asking.answer(current.actor(), asked, has_hung_up)


def whole(run: AnswerRun) -> AnswerState:
    """Return the complete answer; raise what ended it before."""
    state = run.snapshot()
    raise_unless_complete(state)
    return state


def named(response: Response, run: AnswerRun, state: AnswerState | None = None) -> Response:
    """Say in headers under which names the record holds the answer."""
    response.headers["X-Answer-Id"] = run.answer_id
    if state is not None and state.record_seq is not None:
        response.headers["X-Receipt-Entry"] = str(state.record_seq)
    return response


def entry_named(response: Response, made: Embedded) -> Response:
    """Say in headers under which names the record holds these vectors."""
    response.headers["X-Answer-Id"] = made.answer_id
    response.headers["X-Receipt-Entry"] = str(made.record_seq)
    return response


def streamed(run: AnswerRun, lines: Iterator[str], mimetype: str) -> Response:
    """Return the response that sends these lines; when it is closed early, the answer stops.

    An answer that fails within the first moments raises, and so has a status of its own.
    """
    _await_news(run)
    response = Response(stream_with_context(lines), mimetype=mimetype)
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(lambda: run.stop("disconnected"))
    return named(response, run)


def pieces(run: AnswerRun) -> Iterator[Piece]:
    """Yield what is new of the answer until it has ended."""
    version, ended, known = -1, False, Piece()
    while not ended:
        state = run.wait(version, LOOK_EVERY_S)
        if state.version == version:
            yield Piece(waiting=True)
            continue
        version, ended = state.version, state.ended
        new = Piece(
            state.text[len(known.text) :],
            state.logprobs[len(known.logprobs) :],
            state.tool_calls[len(known.tool_calls) :],
        )
        if new != Piece():
            yield new
            known = Piece(state.text, state.logprobs, state.tool_calls)


def raise_unless_complete(state: AnswerState) -> None:
    """Raise what ended the answer before its time."""
    if state.error is not None:
        raise state.error
    if state.state == "stopped":
        raise ConflictError("the answer was stopped before it was complete", hint="ask again")


def _await_news(run: AnswerRun) -> None:
    # An engine that says nothing gives no news to count the time by.
    state, until = run.snapshot(), time.monotonic() + FIRST_NEWS_S
    while not _is_news(state) and (left := until - time.monotonic()) > 0:
        state = run.wait(state.version, left)
    if state.ended and not (state.text or state.tool_calls):
        raise_unless_complete(state)


def _is_news(state: AnswerState) -> bool:
    return bool(state.text or state.tool_calls or state.ended)
