"""The models of this appliance, and the second person's part: read, agree, activate, go back.

Every form acts once and says which state it saw: pressed twice, or in two tabs, the second press
gets a plain sentence on the same page. What takes minutes (an evaluation, loading weights) goes
on in the background, and the page says how far it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from appliance.bundles.inventory import default_of
from appliance.bundles.states import State
from appliance.errors import (
    ApplianceError,
    BadInputError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
    VerificationError,
)
from appliance.identity.permissions import Permission, may
from appliance.operations.models import ASKING_ROLES
from appliance.web import current, errors, models
from appliance.web.access import allow
from appliance.web.background import Task
from appliance.web.files import attachment
from appliance.web.forms import once

pages = Blueprint("models", __name__)

# Loading a small model ends within this; for a large one the page says that it goes on.
WAIT_S = 10.0
SWITCHING = "switching"
ACCEPTED = re.compile("[0-9]{1,4}")
TOLD = (
    BadInputError, ConflictError, ForbiddenError, NotFoundError, UnavailableError,
    VerificationError,
)  # fmt: skip


@pages.get("/models")
@allow(Permission.MODELS_LIST)
def show() -> Response:
    return _list()


@pages.get("/models/<model:name>/<version:version>")
@allow(Permission.MODELS_LIST)
def detail(name: str, version: str) -> Response:
    """Show everything that is known of one version."""
    return _detail(name, version)


@pages.post("/models/<model:name>/<version:version>/approve")
@allow(Permission.MODELS_APPROVE)
def approve(name: str, version: str) -> Response:
    """Agree that people in these roles may use it."""
    actor, form, verbs = current.actor(), request.form, current.operations().models
    roles, shown = frozenset(form.getlist("roles")), form.get("evaluation", "")
    accepted = form.get("accept_failed", "0")
    failed = int(accepted) if ACCEPTED.fullmatch(accepted) else 0
    return _change(name, version, lambda: verbs.approve(
        actor, name, version, roles, accept_failed=failed, evaluation=shown))  # fmt: skip


@pages.post("/models/<model:name>/<version:version>/activate")
@allow(Permission.MODELS_ACTIVATE)
def activate(name: str, version: str) -> Response:
    """Make it the model that answers; the old one answers until this one is ready."""
    actor, verbs = current.actor(), current.operations().activation
    beside = request.form.get("beside") == "yes"
    return _switch(
        name, version, "activate", lambda: verbs.activate(actor, name, version, beside=beside)
    )


@pages.post("/models/<model:name>/<version:version>/release")
@allow(Permission.MODELS_ACTIVATE)
def release(name: str, version: str) -> Response:
    """Let the model that answers beside another one answer no more."""
    actor, verbs = current.actor(), current.operations().activation
    return _change(name, version, lambda: verbs.release(actor, name), "state")


@pages.post("/models/<model:name>/<version:version>/rollback")
@allow(Permission.MODELS_ACTIVATE)
def rollback(name: str, version: str) -> Response:
    """Go back from this version to the one that answered before it."""
    actor, verbs = current.actor(), current.operations()

    def go_back() -> object:
        model = verbs.models.show(actor, name, version)
        if model.state is State.ACTIVE:
            return verbs.activation.rollback(actor, beside=model.beside)
        # Without this a second press would go back again, and so forward.
        raise ConflictError(
            f"model {name} {version} does not answer any more; nothing was changed",
            hint="look at which model answers at present",
        )

    return _switch(name, version, "rollback", go_back)


@pages.post("/models/<model:name>/<version:version>/evaluate")
@allow(Permission.MODELS_EVALUATE)
def evaluate(name: str, version: str) -> Response:
    """Begin to ask the golden prompts; the page shows how far it is."""
    actor, verbs = current.actor(), current.operations()
    model = verbs.models.show(actor, name, version)

    def begin() -> None:
        current.gateway().background.start(
            f"evaluate {model.id}",
            lambda task: verbs.evaluations.evaluate_imported(actor, model, task.report),
        )

    return _change(name, version, begin, "evaluation")


@pages.post("/models/<model:name>/<version:version>/pin")
@allow(Permission.MODELS_PIN)
def pin(name: str, version: str) -> Response:
    """Hold the name at this version."""
    actor, reason = current.actor(), request.form.get("reason", "")
    verbs = current.operations().models
    return _change(name, version, lambda: verbs.pin(actor, name, version, reason))


@pages.post("/models/<model:name>/<version:version>/unpin")
@allow(Permission.MODELS_PIN)
def unpin(name: str, version: str) -> Response:
    """Let go of the name."""
    actor, verbs = current.actor(), current.operations().models
    return _change(name, version, lambda: verbs.unpin(actor, name))


@pages.post("/models/<model:name>/<version:version>/retire")
@allow(Permission.MODELS_RETIRE)
def retire(name: str, version: str) -> Response:
    """Take this version out of use for good."""
    actor, form, verbs = current.actor(), request.form, current.operations().models
    delete = form.get("delete_weights") == "yes"
    return _change(name, version, lambda: verbs.retire(
        actor, name, version, form.get("reason", ""), delete_weights=delete))  # fmt: skip


@pages.get("/models/<model:name>/<version:version>/validation.json")
@allow(Permission.MODELS_VALIDATION)
def validation_json(name: str, version: str) -> Response:
    """Send the validation record for programs."""
    data = _validation(name, version, "json")
    return attachment(data, f"{name}-{version}.validation.json", "application/json")


@pages.get("/models/<model:name>/<version:version>/validation.md")
@allow(Permission.MODELS_VALIDATION)
def validation_md(name: str, version: str) -> Response:
    """Send the validation record for people."""
    data = _validation(name, version, "markdown")
    return attachment(data, f"{name}-{version}.validation.md", "text/markdown")


@pages.get("/models/<model:name>/<version:version>/template.txt")
@allow(Permission.MODELS_VALIDATION)
def template_file(name: str, version: str) -> Response:
    """Send the whole chat template as it was signed."""
    operations, actor = current.operations(), current.actor()
    text = operations.dossiers.template_text(operations.models.show(actor, name, version))
    if text is None:
        raise NotFoundError("no copy of this template is kept here")
    return attachment(text, f"{name}-{version}.chat_template.txt", "text/plain")


def _validation(name: str, version: str, form: str) -> list[bytes]:
    return [current.operations().validations.make(current.actor(), name, version, form)]


# --- what forms have in common


def _change(name: str, version: str, work: Callable[[], object], at: str = "decide") -> Response:
    """Do what a form asks for, once, and show the model again, or say why it was not done."""

    def act() -> None:
        work()

    try:
        once(act)
    except TOLD as error:
        return _detail(name, version, errors.status_of(error), error)
    return _back(name, version, at)


def _switch(name: str, version: str, verb: str, work: Callable[[], object]) -> Response:
    """Change which model answers, in the background; wait a little for it."""
    background, what = current.gateway().background, f"{verb} {name} {version}"

    def begin() -> Task:
        task = background.start(SWITCHING, lambda _: work(), what)
        if task.what != what:
            # Nobody may take another's switch for the one that they asked for.
            raise ConflictError(
                "another activation is under way; nothing was changed",
                hint="look at which model answers when it has ended",
            )
        return task

    try:
        task = once(begin)
    except TOLD as error:
        return _detail(name, version, errors.status_of(error), error)
    if task.wait(WAIT_S) and task.error is not None:
        background.forget(SWITCHING)
        if not isinstance(task.error, TOLD):
            raise task.error
        return _detail(name, version, errors.status_of(task.error), task.error)
    return _back(name, version, "state")


def _list() -> Response:
    operations, actor = current.operations(), current.actor()
    listed = operations.models.list(actor)
    page = render_template(
        "models.html",
        groups=models.groups(listed),
        cards={model.id: models.card_of(model) for model in listed},
        trials={
            model.id: models.summary(trial.counts or trial.newest)
            for model in listed
            for trial in [operations.dossiers.trial(actor, model)]
        },
        publishers={known.id: known.name for known in operations.trusting.list(actor)},
        pins=operations.models.pins(actor),
        previous=_previous(),
        default=default_of(listed),
        restarts=_restarts(),
        names=_names(model.imported_by for model in listed),
        me=actor,
        switching=_running(SWITCHING),
    )
    return make_response(page)


def _detail(
    name: str, version: str, status: int = 200, error: ApplianceError | None = None
) -> Response:
    operations, actor = current.operations(), current.actor()
    dossier = operations.dossiers.of(actor, name, version)
    model = dossier.model
    people = [model.imported_by, model.approved_by or "", dossier.pin.by if dossier.pin else ""]
    page = render_template(
        "model.html",
        dossier=dossier,
        model=model,
        card=models.card_of(model),
        rows=models.side_by_side(dossier),
        epoch=models.epoch_words(dossier),
        tried=models.tried(dossier.trial),
        summary=models.summary,
        names=_names(people),
        asking_roles=sorted(ASKING_ROLES),
        mine=operations.models.brought_in_by(actor, model),
        previous=_previous()[model.beside] if model.state is State.ACTIVE else None,
        default=default_of(operations.models.list(actor)),
        restarts=_restarts(),
        evaluating=_running(f"evaluate {model.id}"),
        switching=_running(SWITCHING),
        error=error or _left_over(model.id),
        form=request.form if error else {},
    )
    return make_response(page, status)


def _running(key: str) -> Task | None:
    task = current.gateway().background.get(key)
    return task if task is not None and task.running else None


def _left_over(model_id: str) -> ApplianceError | None:
    """Return why work that outlived its page failed, once."""
    background = current.gateway().background
    keys = (
        (SWITCHING, Permission.MODELS_ACTIVATE),
        (f"evaluate {model_id}", Permission.MODELS_EVALUATE),
    )
    for key in [key for key, needed in keys if may(current.actor(), needed)]:
        task = background.get(key)
        if task is not None and task.error is not None:
            background.forget(key)
            return task.error
    return None


def _names(ids: Iterable[str | None]) -> dict[str, str]:
    return models.names_of(current.gateway().appliance.people, ids)


def _previous() -> dict[bool, object]:
    """Return what a step back would bring, for the default's place and the one beside it."""
    verbs, actor = current.operations().activation, current.actor()
    return {beside: verbs.previous(actor, beside=beside) for beside in (False, True)}


def _restarts() -> dict[str, str]:
    now = current.gateway().appliance.clock.now()
    return models.restarts(current.operations().incidents.latest(), now)


def _back(name: str, version: str, at: str) -> Response:
    return make_response(
        redirect(f"{url_for('models.detail', name=name, version=version)}#{at}", 303)
    )
