"""Asking and reading: a new chat, a conversation, the history.

Everything works as plain forms (post, redirect, get). A script that asks for JSON gets the same
turn as a fragment instead of the redirect. The one state these views keep is `once`, so that a
form sent twice asks once.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import (
    Blueprint,
    Response,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)

from appliance.errors import ApplianceError
from appliance.identity.permissions import Permission, may
from appliance.operations.questions import Question
from appliance.web import current, errors, turns
from appliance.web.access import allow
from appliance.web.forms import once
from appliance.web.once import new_token

pages = Blueprint("chat", __name__)


@dataclass(frozen=True)
class Asked:
    """Where a question went: all that is remembered of it for a form sent twice."""

    conversation_id: str
    answer_id: str


# Where a person starts who asks no questions.
FIRST_PAGES = (
    (Permission.USERS_MANAGE, "people.show"),
    (Permission.RECORD_READ, "record.show"),
    (Permission.MODELS_LIST, "models.show"),
)


@pages.get("/")
@allow(Permission.OWN_PASSWORD)
def home() -> Response:
    """Show an empty chat, or the first page of a person who asks nothing."""
    actor = current.actor()
    if not may(actor, Permission.ASK):
        first = next(page for permission, page in FIRST_PAGES if may(actor, permission))
        return make_response(redirect(url_for(first), 303))
    return _page()


@pages.post("/c")
@allow(Permission.ASK)
def create() -> Response:
    """Ask the first question of a new conversation."""
    return _ask(None)


@pages.get("/c/<conversation:conversation_id>")
@allow(Permission.OWN_CONTENT)
def show(conversation_id: str) -> Response:
    return _page(conversation_id)


@pages.post("/c/<conversation:conversation_id>/ask")
@allow(Permission.ASK)
def ask(conversation_id: str) -> Response:
    """Ask a further question in a conversation."""
    return _ask(conversation_id)


@pages.post("/c/<conversation:conversation_id>/rename")
@allow(Permission.OWN_CONTENT)
def rename(conversation_id: str) -> Response:
    title = request.form.get("title", "")
    current.operations().chats.rename(current.actor(), conversation_id, title)
    return _to(url_for("chat.show", conversation_id=conversation_id))


@pages.post("/c/<conversation:conversation_id>/archive")
@allow(Permission.OWN_CONTENT)
def archive(conversation_id: str) -> Response:
    current.operations().chats.archive(current.actor(), conversation_id)
    return _to(url_for("chat.home"))


@pages.post("/c/<conversation:conversation_id>/restore")
@allow(Permission.OWN_CONTENT)
def restore(conversation_id: str) -> Response:
    current.operations().chats.restore(current.actor(), conversation_id)
    return _to(url_for("chat.show", conversation_id=conversation_id))


@pages.get("/history")
@allow(Permission.OWN_CONTENT)
def history() -> Response:
    """List the actor's conversations, those with the searched words, or the archived ones."""
    search = request.args.get("q", "").strip()[:200]
    archived = request.args.get("archived") == "1"
    found = current.operations().chats.list(current.actor(), archived=archived, search=search)
    page = render_template("history.html", found=found, search=search, archived=archived)
    return make_response(page)


# --- asking


def _ask(conversation_id: str | None) -> Response:
    try:
        asked = _ask_once(_question(conversation_id))
    except ApplianceError as error:
        if errors.wants_json():
            raise
        return _page(conversation_id, error=error)
    address = url_for("chat.show", conversation_id=asked.conversation_id)
    if not errors.wants_json():
        return _to(f"{address}#{asked.answer_id}")
    run = current.operations().asking.run_of(current.actor(), asked.answer_id)
    if conversation_id is None or run is None:
        return jsonify({"location": address})
    turn = turns.Turn(request.form["prompt"], turns.of_run(run, run.snapshot(), None))
    html = render_template("chat/turn.html", turn=turn)
    return jsonify({"html": html, "answer": run.answer_id, "once": new_token()})


def _question(conversation_id: str | None) -> Question:
    form = request.form
    prompt = form.get("prompt", "").replace("\r\n", "\n")
    return Question.of(
        prompt,
        conversation_id=conversation_id,
        model=form.get("model") or None,
        purpose=form.get("purpose") or None,
        patient=form.get("patient", "").strip() or None,
    )


def _ask_once(question: Question) -> Asked:
    def work() -> Asked:
        run = current.operations().asking.ask(current.actor(), question)
        return Asked(run.conversation_id, run.answer_id)

    return once(work)


# --- showing


def _page(conversation_id: str | None = None, error: ApplianceError | None = None) -> Response:
    operations, actor = current.operations(), current.actor()
    conversation, shown = None, []
    if conversation_id is not None:
        conversation, messages = operations.chats.open(actor, conversation_id)
        shown = [_live(turn) for turn in turns.of_messages(messages, demo_digests())]
    models = operations.asking.models_for(actor)
    page = render_template(
        "chat/page.html",
        conversation=conversation,
        turns=shown,
        models=models,
        model=request.form.get("model") or (models[0].name if models else ""),
        purpose=request.form.get("purpose") or current.config().policy.default_purpose,
        purposes=current.config().policy.purposes,
        starters=_starters() if conversation is None else (),
        draft=request.form.get("prompt", "") if error else "",
        limit=_limit(),
        error=error,
    )
    return make_response(page, errors.status_of(error) if error else 200)


def _live(turn: turns.Turn) -> turns.Turn:
    """Prefer what the run knows to what is stored, while the run is there."""
    if turn.answer is None:
        return turn
    run = current.operations().asking.run_of(current.actor(), turn.answer.id)
    if run is None:
        return turn
    view = turns.of_run(run, run.snapshot(), turn.answer.created)
    return turns.Turn(turn.question, view)


def demo_digests() -> frozenset[str]:
    """Return which weights are demos, also those that are no longer active."""
    models = current.gateway().appliance.library.models()
    return frozenset(model.digest for model in models if model.demo)


def _starters() -> tuple[str, ...]:
    """Return the prompts that the default model's signed card suggests, four at most."""
    operations, actor = current.operations(), current.actor()
    for facts in operations.asking.models_for(actor)[:1]:
        card = operations.models.show(actor, facts.name, facts.version).card
        suggested = card.get("starters", [])
        if isinstance(suggested, list):
            return tuple(text for text in suggested if isinstance(text, str))[:4]
    return ()


def _limit() -> int:
    """Return how many bytes a question may have: percent-encoding trebles the worst case."""
    return current.config().gateway.max_body_bytes // 4


def _to(address: str) -> Response:
    return make_response(redirect(address, 303))
