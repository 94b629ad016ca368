"""`Engine` over HTTP at one place that speaks our engine's own routes: one model, or the manager.

Guarantee: every failure of the other side arrives as an ApplianceError. Closing the iterator of
`generate` closes the connection, and that is what cancels the request over there. One instance
serves any number of threads. Not here: servers of others (`openai_server`), which have no status
of ours and whose weights have to be asked for.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from appliance.errors import ApplianceError, EngineUnavailableError
from appliance.inference import incidents
from appliance.inference.connection import Connection
from appliance.inference.embeddings import embeddings_in
from appliance.inference.engine import (
    Embeddings,
    EngineModel,
    EngineSeat,
    EngineStatus,
    Generation,
    Message,
    Progress,
)
from appliance.inference.events import answer
from appliance.inference.messages import clean_text
from appliance.inference.openai_body import chat_body, completion_body, message_bodies
from appliance.inference.pieces import count_in

STATES = frozenset({"loading", "ready", "empty", "down"})
STATUS_S = 3.0
# Longer than the engine itself waits for a model that does not get ready.
PREPARE_S = 1_000.0


class OpenAIEngine:
    """Speaks to one server. `silence_s` is how long it may say nothing before it counts as dead.

    Our engine shows a sign of life twice a second, so the default leaves a wide margin.
    """

    def __init__(
        self,
        base_url: str = "http://engine",
        *,
        uds: Path | None = None,
        connect_s: float = 2.0,
        silence_s: float = 30.0,
    ) -> None:
        self._connection = Connection(base_url, uds, connect_s, silence_s)

    def close(self) -> None:
        self._connection.close()

    def status(self, digest: str | None = None) -> EngineStatus:
        """Return what the server says; `down` when it says nothing. Never raises.

        One place has one answer, whatever `digest` is.
        """
        try:
            body = self._connection.call("GET", "/status", timeout=STATUS_S)
        except ApplianceError as error:
            return EngineStatus("down", detail=error.message)
        return status_in(body)

    def count_tokens(self, digest: str, messages: tuple[Message, ...]) -> int:
        """Return the exact size of the rendered prompt, template included."""
        body = {"model": digest, "messages": message_bodies(messages)}
        return count_in(self._connection.call("POST", "/tokenize", body), "tokens")

    def generate(self, request: Generation) -> Generator[Progress, None, None]:
        """Yield the progress of one answer; see `Engine` for the errors."""
        if request.prompt is None:
            path, body = "/v1/chat/completions", chat_body(request)
        else:
            path, body = "/v1/completions", completion_body(request)
        with self._connection.stream(path, body) as data:
            yield from answer(data)

    def embed(self, digest: str, texts: tuple[str, ...], person: str = "") -> Embeddings:
        """Return a vector for each text; see `Engine` for the errors."""
        body = {"model": digest, "input": list(map(clean_text, texts)), "user": person}
        return embeddings_in(self._connection.call("POST", "/v1/embeddings", body), len(texts))

    def prepare(self, model: EngineModel) -> None:
        # Reached and refused is not the same here as an engine that is not there.
        body = {"model": model.to_json()}
        self._connection.call(
            "POST", "/prepare", body, timeout=PREPARE_S, refused=EngineUnavailableError
        )

    def release(self, digest: str) -> None:
        self._connection.call("POST", "/release", {"digest": digest})

    def stop(self, digest: str) -> None:
        self._connection.call("POST", "/stop", {"digest": digest})

    def use_threads(self, count: int) -> None:
        """Let a model's process compute with so many threads; see `EngineUnavailableError`."""
        self._connection.call("POST", "/threads", {"threads": count})

    def reload(self) -> None:
        self._connection.call("POST", "/reload", {})


def status_in(body: Mapping[str, Any]) -> EngineStatus:
    """Return the status in an engine's words; `down` when it makes no sense."""
    state, digest = body.get("state"), body.get("digest")
    if not isinstance(state, str) or state not in STATES:
        return EngineStatus("down", detail="the engine's status makes no sense")
    return EngineStatus(
        state=cast("Literal['loading', 'ready', 'empty', 'down']", state),
        digest=digest if isinstance(digest, str) else None,
        context_tokens=count_in(body, "context_tokens"),
        waiting=count_in(body, "waiting"),
        detail=str(body.get("detail", "")),
        running=count_in(body, "running"),
        seats=_seats(body.get("seats")),
        slots=count_in(body, "slots"),
        steps=count_in(body, "steps"),
        incidents=incidents.parse(body.get("incidents")),
    )


def _seats(value: object) -> tuple[EngineSeat, ...]:
    """Return the processes in a status; whatever else is there is left out."""
    names = EngineSeat.__annotations__
    return tuple(
        EngineSeat(**{name: str(item.get(name, "")) for name in names}) for item in _objects(value)
    )


def _objects(value: object) -> list[Mapping[str, Any]]:
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, Mapping)]
