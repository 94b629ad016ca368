"""`Engine` over HTTP at one place: one of our own sockets, or any server like OpenAI's.

Guarantee: every failure of the other side arrives as an ApplianceError; a process that dies
midway is EngineUnavailableError, whatever the network layer calls it. Closing the iterator of
`generate` closes the connection, and that is what cancels the request over there. One instance
serves any number of threads. No proxy or other setting is taken from the environment.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from appliance.errors import (
    ApplianceError,
    BadInputError,
    ConflictError,
    ContextOverflowError,
    EngineDownError,
    EngineUnavailableError,
    TooLargeError,
)
from appliance.inference.engine import (
    Embeddings,
    EngineModel,
    EngineSeat,
    EngineStatus,
    Generation,
    Message,
    Progress,
)
from appliance.inference.events import EngineSaidError, lines, progress
from appliance.inference.messages import clean_text

# Codes and types by which servers say "too long" (ours and OpenAI's; llama-server's).
OVERFLOW = frozenset({"context_length_exceeded", "exceed_context_size_error"})
STATES = frozenset({"loading", "ready", "empty", "down"})
MAX_ERROR_CHARACTERS = 500
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
        # No kept connections: a fresh one costs microseconds here, and one that the other side
        # closed meanwhile would fail a question for no reason.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.Client(
            base_url=base_url,
            # Nothing is encrypted on a socket of our own; reading the list of authorities for it
            # would take longer than the first question's way to the model.
            transport=httpx.HTTPTransport(
                uds=str(uds) if uds else None, limits=limits, verify=uds is None
            ),
            timeout=httpx.Timeout(silence_s, connect=connect_s),
            trust_env=False,
        )

    def close(self) -> None:
        self._client.close()

    def status(self, digest: str | None = None) -> EngineStatus:
        """Return what the server says; `down` when it says nothing. Never raises.

        One place has one answer, whatever `digest` is.
        """
        try:
            body = self._call("GET", "/status", timeout=STATUS_S)
        except ApplianceError as error:
            return EngineStatus("down", detail=error.message)
        state, digest = body.get("state"), body.get("digest")
        if state not in STATES:
            return EngineStatus("down", detail="the engine's status makes no sense")
        return EngineStatus(
            state=state,
            digest=digest if isinstance(digest, str) else None,
            context_tokens=_count(body, "context_tokens"),
            waiting=_count(body, "waiting"),
            detail=str(body.get("detail", "")),
            running=_count(body, "running"),
            seats=_seats(body.get("seats")),
        )

    def count_tokens(self, digest: str, messages: tuple[Message, ...]) -> int:
        """Return the exact size of the rendered prompt, template included."""
        body = {"model": digest, "messages": _plain(messages)}
        return _count(self._call("POST", "/tokenize", body), "tokens")

    def generate(self, request: Generation) -> Generator[Progress, None, None]:
        """Yield the progress of one answer; see `Engine` for the errors."""
        stream = self._client.stream("POST", "/v1/chat/completions", json=_request(request))
        with self._translated(), stream as response:
            if response.status_code != httpx.codes.OK:
                raise _error(response.status_code, response.read())
            yield from progress(lines(response.iter_bytes()))

    def embed(self, digest: str, texts: tuple[str, ...], person: str = "") -> Embeddings:
        """Return a vector for each text; see `Engine` for the errors."""
        body = {"model": digest, "input": list(map(clean_text, texts)), "user": person}
        said = self._call("POST", "/v1/embeddings", body)
        try:
            vectors = tuple(tuple(map(float, item["embedding"])) for item in said["data"])
        except (KeyError, TypeError, ValueError) as error:
            raise EngineUnavailableError("the engine's embeddings make no sense") from error
        if len(vectors) != len(texts):
            raise EngineUnavailableError("the engine left out an embedding")
        usage = said.get("usage")
        return Embeddings(
            vectors, _count(usage if isinstance(usage, dict) else {}, "prompt_tokens")
        )

    def prepare(self, model: EngineModel) -> None:
        # Reached and refused is not the same here as an engine that is not there.
        body = {"model": model.to_json()}
        self._call("POST", "/prepare", body, timeout=PREPARE_S, refused=EngineUnavailableError)

    def release(self, digest: str) -> None:
        self._call("POST", "/release", {"digest": digest})

    def stop(self, digest: str) -> None:
        self._call("POST", "/stop", {"digest": digest})

    def reload(self) -> None:
        self._call("POST", "/reload", {})

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        refused: type[EngineUnavailableError] = EngineDownError,
    ) -> Mapping[str, Any]:
        limit = httpx.USE_CLIENT_DEFAULT if timeout is None else httpx.Timeout(timeout)
        with self._translated():
            response = self._client.request(method, path, json=body, timeout=limit)
        if not response.is_success:
            raise _error(response.status_code, response.content, refused)
        return _object(response.content)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what goes wrong on the way into EngineUnavailableError."""
        try:
            yield
        except EngineSaidError as error:
            raise _error(httpx.codes.OK, json.dumps(error.body).encode()) from error
        except httpx.TimeoutException as error:
            raise EngineUnavailableError("the engine does not answer in time") from error
        except httpx.ConnectError as error:
            raise EngineDownError("the engine is not running") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise EngineUnavailableError(
                "the connection to the engine broke; the answer is not complete"
            ) from error
        except RuntimeError as error:
            # httpx's way to say that another thread closed it, as when a model's process ends.
            if not self._client.is_closed:
                raise
            raise EngineDownError("the engine is not running") from error


def _request(request: Generation) -> dict[str, Any]:
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": request.digest,
        "messages": _plain(request.messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    return body


def _plain(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": clean_text(message.content)} for message in messages]


def _error(
    status: int, data: bytes, refused: type[EngineUnavailableError] = EngineDownError
) -> ApplianceError:
    """Return the error that a server's answer means, by its code first, then its status."""
    said = _object(data).get("error")
    said = said if isinstance(said, Mapping) else {"message": said}
    message = str(said.get("message") or f"the engine answered {status}")[:MAX_ERROR_CHARACTERS]
    hint = said.get("hint") if isinstance(said.get("hint"), str) else None
    if OVERFLOW & {str(said.get("code")), str(said.get("type"))}:
        return ContextOverflowError(message, hint=hint)
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return TooLargeError(message, hint=hint)
    if said.get("code") == ConflictError.code:
        return ConflictError(message, hint=hint)
    if status in (400, 422) or said.get("code") == BadInputError.code:
        return BadInputError(message, hint=hint)
    if status != httpx.codes.OK:
        return refused(message, hint=hint)
    return EngineUnavailableError(message, hint=hint)


def _object(data: bytes) -> Mapping[str, Any]:
    """Return the JSON object in `data`, an empty one when it is something else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _seats(value: object) -> tuple[EngineSeat, ...]:
    """Return the processes in a status; whatever else is there is left out."""
    items = value if isinstance(value, list) else []
    names = EngineSeat.__annotations__
    return tuple(
        EngineSeat(**{name: str(item.get(name, "")) for name in names})
        for item in items
        if isinstance(item, Mapping)
    )


def _count(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    return value if isinstance(value, int) and value >= 0 else 0
