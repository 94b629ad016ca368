"""POST /api/embed, and the older /api/embeddings: vectors of length 1, whole or not at all."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from appliance.identity.permissions import Permission
from appliance.operations.embedding import Embedded, EmbeddingWish
from appliance.web import current
from appliance.web.access import allow
from appliance.web.api import following, ollama_replies
from appliance.web.api.described import Description, described
from appliance.web.api.ollama_bodies import Embed, EmbedOne
from appliance.web.api.ollama_replies import EmbedOneReply, EmbedReply

api = Blueprint("ollama_embed", __name__, url_prefix="/api")


@api.post("/embed")
@allow(Permission.ASK)
@described(
    Description("Turn texts into vectors (Ollama)", body=Embed, reply=EmbedReply,
                names_entry=True)
)  # fmt: skip
def embed() -> Response:
    """Return a vector for each text; a text that does not fit is refused, never cut."""
    wish = following.read(Embed).wish(following.purpose())

    def answer() -> Response:
        made = _made(wish)
        return following.entry_named(jsonify(ollama_replies.embedded(made)), made)

    return following.seated(answer)


@api.post("/embeddings")
@allow(Permission.ASK)
@described(
    Description("Turn one text into a vector (older Ollama)", body=EmbedOne, reply=EmbedOneReply,
                names_entry=True)
)  # fmt: skip
def embed_one() -> Response:
    """Return the vector of one text."""
    wish = following.read(EmbedOne).wish(following.purpose())

    def answer() -> Response:
        made = _made(wish)
        reply: EmbedOneReply = {"embedding": list(made.vectors[0])}
        return following.entry_named(jsonify(reply), made)

    return following.seated(answer)


def _made(wish: EmbeddingWish) -> Embedded:
    return current.operations().embedding.embed(current.actor(), wish)
