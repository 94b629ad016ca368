"""What an OpenAI-compatible server says that it serves, and whether that is the signed model.

Guarantee: `Served.require` returns only when nothing that the server tells speaks against the
digest. Source: llama-server's README (`/v1/models`, `/props`, `/slots`), vLLM's API server
(`max_model_len` in `/v1/models`). Not here: asking a question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from appliance.errors import EngineDownError, EngineUnavailableError
from appliance.inference.connection import Connection
from appliance.inference.engine import EngineModel
from appliance.inference.library_folder import LibraryFolder
from appliance.inference.pieces import count_in

HOW = (
    "start llama-server with --alias and vLLM with --served-model-name, and the SHA-256 of the "
    "weights as `appliance model show` prints it"
)


@dataclass(frozen=True)
class Served:
    """One look at a server. `file` and `template` are null where it does not tell them."""

    names: frozenset[str]
    context_tokens: int
    file: str | None
    template: str | None
    slots: int
    running: int
    applies_templates: bool
    reads_tools: bool

    @property
    def counts_tokens(self) -> bool:
        """Whether one of the two known ways to count is likely to be there."""
        return self.applies_templates or self.context_tokens > 0

    def require(self, model: EngineModel, library: LibraryFolder) -> None:
        """Raise EngineUnavailableError unless this is the model, as far as the server tells."""
        if model.digest not in self.names:
            raise EngineUnavailableError(
                "the server does not serve this model under its digest; nothing was asked",
                hint=HOW,
            )
        if self.file is not None and PurePosixPath(self.file).name != f"{model.digest}.gguf":
            raise EngineUnavailableError(
                "the server read another file than the library's; nothing was asked",
                hint=f"let it read the library's own file {model.digest}.gguf",
            )
        if self.template is not None and model.template_sha256 is not None:
            # Some readers drop the last line end.
            found = {self.template, self.template + "\n"}
            if model.template_sha256 not in map(_sha256, found):
                raise EngineUnavailableError(
                    "the server uses another chat template than the signed one; nothing was asked",
                    hint=f"start it with --chat-template-file {model.template_sha256}.template",
                )


def read_served(connection: Connection, digest: str, within_s: float) -> Served:
    """Ask the server; raise EngineDownError when it does not answer, or loads a model."""
    listed = connection.call("GET", "/v1/models", timeout=within_s).get("data")
    models = [item for item in _items(listed) if isinstance(item.get("id"), str)]
    if not models:
        raise EngineDownError("the server names no model")
    props = _mapping(_optional(connection, "/props", within_s))
    slots = _items(_optional(connection, "/slots", within_s)) if props else []
    file, template = props.get("model_path"), props.get("chat_template")
    settings = _mapping(props.get("default_generation_settings"))
    own = next((item for item in models if item["id"] == digest), {})
    return Served(
        names=frozenset(item["id"] for item in models),
        context_tokens=count_in(settings, "n_ctx") or count_in(own, "max_model_len"),
        file=file if isinstance(file, str) else None,
        template=template if isinstance(template, str) else None,
        slots=count_in(props, "total_slots"),
        running=sum(item.get("is_processing") is True for item in slots),
        applies_templates="chat_template" in props,
        reads_tools=_mapping(props.get("chat_template_caps")).get("supports_tools") is not False,
    )


def _optional(connection: Connection, path: str, within_s: float) -> Any:
    """Return what a route says that not every server has."""
    response = connection.response("GET", path, timeout=within_s)
    if not response.is_success:
        return {}
    try:
        return response.json()
    except (ValueError, RecursionError):
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
