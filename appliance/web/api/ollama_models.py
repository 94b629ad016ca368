"""What Ollama's clients read before they ask: lists, one model, what is loaded, the version.

Every list holds what the one policy function lets the key's owner ask, and nothing else.
"""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, jsonify

from appliance.bundles.inventory import ModelInfo
from appliance.errors import NotFoundError
from appliance.identity.permissions import Permission
from appliance.web import current
from appliance.web.access import allow
from appliance.web.api import following, ollama_replies
from appliance.web.api.described import Description, described
from appliance.web.api.ollama_bodies import Show
from appliance.web.api.ollama_replies import (
    Running,
    RunningReply,
    ShowReply,
    TagsReply,
    VersionReply,
)

api = Blueprint("ollama_models", __name__, url_prefix="/api")

# The release of Ollama whose API this follows; clients look for a lowest one.
VERSION = "0.12.11"
# Ollama's own way to say that a model stays in memory.
FOR_EVER = "2318-01-01T00:00:00Z"
# A template that never names them gives a model no tools; Ollama tells them in the same way.
KNOWS_TOOLS = re.compile(r"\btools\b")


@api.get("/tags")
@allow(Permission.ASK)
@described(Description("List the models (Ollama)", reply=TagsReply))
def tags() -> Response:
    """List the models that the key's owner may ask."""
    reply: TagsReply = {"models": [ollama_replies.tag(model) for model in _usable()]}
    return jsonify(reply)


@api.post("/show")
@allow(Permission.ASK)
@described(Description("Describe one model (Ollama)", body=Show, reply=ShowReply))
def show() -> Response:
    """Describe one model that the key's owner may ask."""
    name = following.read(Show).name
    for model in _usable():
        if model.name == name:
            return jsonify(_shown(model))
    raise NotFoundError("there is no such model", hint="GET /api/tags lists what you may use")


@api.get("/ps")
@allow(Permission.ASK)
@described(Description("List the models in memory (Ollama)", reply=RunningReply))
def running() -> Response:
    """List those that are in memory among the models that the key's owner may ask."""
    loaded = [found for model in _usable() if (found := _running(model)) is not None]
    reply: RunningReply = {"models": loaded}
    return jsonify(reply)


@api.get("/version")
@allow(Permission.ASK)
@described(Description("Tell the version (Ollama)", reply=VersionReply))
def version() -> Response:
    """Tell which release of Ollama this API follows."""
    reply: VersionReply = {"version": VERSION}
    return jsonify(reply)


def _usable() -> list[ModelInfo]:
    operations = current.operations()
    facts = operations.asking.models_for(current.actor())
    allowed = {(model.name, model.version, model.digest) for model in facts}
    return [
        model
        for model in operations.appliance.library.models()
        if (model.name, model.version, model.digest) in allowed
    ]


def _shown(model: ModelInfo) -> ShowReply:
    family = model.architecture
    template = current.operations().dossiers.template_text(model) or ""
    tools = ["tools"] if KNOWS_TOOLS.search(template) else []
    info: dict[str, Any] = {
        "general.architecture": family,
        "general.parameter_count": model.parameters,
        f"{family}.context_length": model.context_tokens,
    }
    return {
        "modified_at": ollama_replies.moment(model.changed),
        "license": model.licence,
        "modelfile": "",
        "parameters": "",
        "template": template,
        "details": ollama_replies.details(model),
        "model_info": info,
        "capabilities": ["completion", *tools, "embedding"],
    }


def _running(model: ModelInfo) -> Running | None:
    status = current.gateway().appliance.engine.status(model.digest)
    if status.state != "ready":
        return None
    return {
        **ollama_replies.tag(model),
        "expires_at": FOR_EVER,
        "size_vram": 0,
        "context_length": status.context_tokens,
    }
