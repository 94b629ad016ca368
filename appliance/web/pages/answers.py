"""One answer while it is written: watch it as events, stop it.

Every event is a whole snapshot, so there is nothing to resume: a page that reloads or reconnects
attaches again and is up to date with the next event. Closing the page does not stop the answer.
The stream never counts as activity, and it ends when its session does.

It serves an answer that is being written and nothing else. Whoever comes after the end is told
that it is over and reads the page, because opening a kept answer is recorded there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from flask import (
    Blueprint,
    Response,
    jsonify,
    make_response,
    redirect,
    render_template,
    stream_with_context,
    url_for,
)

from appliance.errors import ConflictError, NotSignedInError
from appliance.identity.permissions import Permission
from appliance.operations.answer_run import AnswerRun
from appliance.web import cookies, current, errors, turns
from appliance.web.access import allow

pages = Blueprint("answers", __name__)

HEARTBEAT_S = 10.0
# At most ten snapshots a second, fewer when rendering a long answer takes long.
PAUSE_S = 0.1
PAUSE_PER_RENDER = 5
COME_BACK_MS = 2_000


@pages.get("/answers/<message:answer_id>/events")
@allow(Permission.OWN_CONTENT, touch=False)
def events(answer_id: str) -> Response:
    """Stream the answer to its author as server-sent events until it has ended."""
    run = current.operations().asking.run_of(current.actor(), answer_id)
    stream = _over(run, answer_id) if run is None or run.snapshot().ended else _follow(run)
    response = Response(stream_with_context(stream), mimetype="text/event-stream")
    # For proxies in between: pass on each event as it comes, keep none.
    response.headers["X-Accel-Buffering"] = "no"
    response.headers["Cache-Control"] = "no-store, no-transform"
    return response


@pages.post("/answers/<message:answer_id>/stop")
@allow(Permission.ASK)
def stop(answer_id: str) -> Response:
    """Stop the answer; when it has just ended by itself, there is nothing left to do."""
    operations, actor = current.operations(), current.actor()
    try:
        operations.asking.stop(actor, answer_id)
    except ConflictError:
        if errors.wants_json():
            raise
    if errors.wants_json():
        return jsonify({"stopping": answer_id})
    conversation_id = operations.chats.message(actor, answer_id).conversation_id
    return make_response(redirect(url_for("chat.show", conversation_id=conversation_id), 303))


def _follow(run: AnswerRun) -> Iterator[str]:
    token, source = cookies.read(cookies.SESSION), current.source()
    clock, version, checked = current.gateway().appliance.clock, -1, time.monotonic()
    yield f"retry: {COME_BACK_MS}\n\n"
    seat = current.gateway().seats.page()
    try:
        while True:
            state = run.wait(version, HEARTBEAT_S)
            began = time.monotonic()
            if began - checked >= HEARTBEAT_S:
                checked = began
                if not _still_signed_in(token, source):
                    yield "event: signed-out\ndata: {}\n\n"
                    return
            if state.version == version:
                yield ": still here\n\n"
                continue
            version = state.version
            yield _event(turns.of_run(run, state, clock.now()))
            if state.ended or seat is None:
                return
            time.sleep(max(PAUSE_S, PAUSE_PER_RENDER * (time.monotonic() - began)))
    finally:
        if seat is not None:
            seat()


def _over(run: AnswerRun | None, answer_id: str) -> Iterator[str]:
    """Send the reader to the page, without a word of the answer; raise unless it is their own."""
    message = current.operations().chats.message(current.actor(), answer_id)
    # Pending without a run: it is being closed by somebody else, and the browser comes back.
    closing = run is None and message.state == "pending"
    over = ": not closed yet\n\n" if closing else "event: over\ndata: {}\n\n"
    return iter([f"retry: {COME_BACK_MS}\n\n", over])


def _still_signed_in(token: str, source: str) -> bool:
    try:
        current.operations().sessions.authenticate(token, source, touch=False)
    except NotSignedInError:
        return False
    return True


def _event(view: turns.AnswerView) -> str:
    data = {
        "version": view.version,
        "state": view.state,
        "ended": view.ended,
        "label": view.label,
        "elapsed_ms": view.elapsed_ms,
        "html": view.html,
    }
    if view.ended:
        data["card"] = render_template("chat/answer.html", answer=view)
    # JSON escapes line ends, so one event is always one data line.
    return f"data: {json.dumps(data)}\n\n"
