"""Which engine the settings name: our own processes, Ollama, or an OpenAI-compatible server.

Guarantee: a server of somebody else is spoken to only inside the site; the address is looked at
here once more, since this is where connections begin. Not here: starting anything.
"""

from __future__ import annotations

from pathlib import Path

from appliance.config import Engine as Settings
from appliance.config.engine_checks import is_nearby
from appliance.errors import ConfigurationError
from appliance.inference.engine import Engine
from appliance.inference.library_folder import LibraryFolder
from appliance.inference.local_engines import LocalEngines
from appliance.inference.openai_server import OpenAIServer
from appliance.inference.safe_text import SafeTexts, Writing


def choose_engine(
    settings: Settings, *, library: Path, control: Path, sockets: Path, writing: Writing
) -> Engine:
    """Return the engine of `settings`; `control` and `sockets` are our own processes' places."""
    if settings.kind == "llama":
        return LocalEngines(control, sockets)
    if not is_nearby(settings.url):
        raise ConfigurationError(
            f"engine.url {settings.url!r} is not an address inside the site; nothing is asked there"
        )
    folder = LibraryFolder(library)
    # No longer than an answer may take.
    silence_s = float(settings.answer_timeout_s)
    if settings.kind == "ollama":
        # Its package is slow to load, and most sites have no use for it.
        from appliance.inference.ollama_engine import OllamaEngine

        return OllamaEngine(settings.url, folder, writing, settings, silence_s=silence_s)
    if settings.kind == "openai":
        texts = SafeTexts(folder, writing.neutralise)
        return OpenAIServer(settings.url, folder, texts, silence_s=silence_s)
    raise ConfigurationError(f"engine.kind {settings.kind!r} is none of llama, ollama, openai")
