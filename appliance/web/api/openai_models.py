"""GET /v1/models: what the key's owner may ask, as the one policy function says."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from appliance.errors import NotFoundError
from appliance.identity.permissions import Permission
from appliance.policy.decision import ModelFacts
from appliance.web import current
from appliance.web.access import allow
from appliance.web.api.described import Description, described
from appliance.web.api.openai_replies import ModelReply, ModelsReply

api = Blueprint("openai_models", __name__, url_prefix="/v1")


@api.get("/models")
@allow(Permission.ASK)
@described(Description("List the models", reply=ModelsReply))
def models() -> Response:
    """List the models that the key's owner may ask."""
    usable = current.operations().asking.models_for(current.actor())
    reply: ModelsReply = {"object": "list", "data": [_model(facts) for facts in usable]}
    return jsonify(reply)


@api.get("/models/<model:name>")
@allow(Permission.ASK)
@described(Description("Describe one model", reply=ModelReply))
def model(name: str) -> Response:
    """Describe one model that the key's owner may ask."""
    for facts in current.operations().asking.models_for(current.actor()):
        if facts.name == name:
            return jsonify(_model(facts))
    raise NotFoundError("there is no such model", hint="GET /v1/models lists what you may use")


def _model(facts: ModelFacts) -> ModelReply:
    return {
        "id": facts.name,
        "object": "model",
        "created": 0,
        "owned_by": "appliance",
        "version": facts.version,
        "digest": facts.digest,
        "demo": facts.demo,
    }
