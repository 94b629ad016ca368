"""For programs: OpenAI's API under /v1, Ollama's under /api, receipts, health and metrics.

Both APIs put the same questions to the same operations; they differ in words alone.
"""

from __future__ import annotations

from flask import Flask

from appliance.web.api import (
    health,
    ollama_chat,
    ollama_embed,
    ollama_models,
    ollama_refused,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_models,
    receipts,
    reference,
)

PARTS = (
    openai_chat, openai_completions, openai_embeddings, openai_models, receipts, reference,
    ollama_chat, ollama_embed, ollama_models, ollama_refused, health,
)  # fmt: skip


def install(app: Flask) -> None:
    """Put the API on the application."""
    for part in PARTS:
        app.register_blueprint(part.api)
    app.register_blueprint(reference.pages)
