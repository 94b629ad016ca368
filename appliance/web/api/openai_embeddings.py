"""POST /v1/embeddings: a vector of length 1 for each text."""

from __future__ import annotations

import base64
import struct

from flask import Blueprint, Response, jsonify

from appliance.identity.permissions import Permission
from appliance.operations.embedding import EmbeddingWish
from appliance.web import current
from appliance.web.access import allow
from appliance.web.api import following
from appliance.web.api.described import Description, described
from appliance.web.api.openai_replies import Vector, VectorsReply
from appliance.web.api.openai_text_bodies import EmbeddingBody

api = Blueprint("openai_embeddings", __name__, url_prefix="/v1")


@api.post("/embeddings")
@allow(Permission.ASK)
@described(
    Description("Turn texts into vectors", body=EmbeddingBody, reply=VectorsReply,
                names_entry=True)
)  # fmt: skip
def embeddings() -> Response:
    """Return a vector for each text, as numbers or (`base64`) as little-endian 32-bit floats."""
    body = following.read(EmbeddingBody)
    wish = body.wish(following.purpose())
    return following.seated(lambda: _answer(body, wish))


def _answer(body: EmbeddingBody, wish: EmbeddingWish) -> Response:
    made = current.operations().embedding.embed(current.actor(), wish)
    packed = body.encoding_format == "base64"
    reply: VectorsReply = {
        "object": "list",
        "model": made.model.name,
        "data": [_vector(place, vector, packed) for place, vector in enumerate(made.vectors)],
        "usage": {"prompt_tokens": made.tokens, "total_tokens": made.tokens},
    }
    return following.entry_named(jsonify(reply), made)


def _vector(place: int, vector: tuple[float, ...], packed: bool) -> Vector:
    floats = struct.pack(f"<{len(vector)}f", *vector) if packed else b""
    shown = base64.b64encode(floats).decode() if packed else list(vector)
    return {"object": "embedding", "index": place, "embedding": shown}
