"""HTTP to one engine: requests, streams, and every failure as an ApplianceError.

Guarantee: a process that dies midway is EngineUnavailableError, whatever the network layer calls
it; one that was not reached, or refused before it began, is EngineDownError. An answer that is
no stream ends in time and is of bounded size, however it trickles in. No proxy or other setting
is taken from the environment, and no redirect is followed. One instance serves any number of
threads. Not here: what is sent and what it means.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
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
from appliance.inference.events import EngineSaidError
from appliance.inference.local_streams import LocalStreams

# Codes and types by which servers say "too long" (ours and OpenAI's; llama-server's).
OVERFLOW = frozenset({"context_length_exceeded", "exceed_context_size_error"})
# vLLM and Ollama have no code for it; these are their words.
OVERFLOW_WORDS = re.compile(
    "maximum context length|exceeds? (the|maximum) (available )?context", re.IGNORECASE
)
MAX_ERROR_CHARACTERS = 500
# Vectors as text for as many texts as are taken at once have about 200 MB.
MAX_BODY_BYTES = 268_435_456
MAX_ERROR_BYTES = 1_048_576


class Wire:
    """The socket of one request, so that another thread can end it while it waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._cut = False

    def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Note the socket when the connection is made; httpx calls this."""
        if name.endswith(("connect_tcp.complete", "start_tls.complete")):
            self.note(info["return_value"].get_extra_info("socket"))

    def note(self, found: socket.socket) -> None:
        """Note the socket of the request."""
        with self._lock:
            self._socket = found
            if self._cut:
                _shut(found)

    def cut(self) -> None:
        """End the connection now; whoever reads from it gets an error."""
        with self._lock:
            self._cut = True
            if self._socket is not None:
                _shut(self._socket)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Connection:
    """Speaks to one server. `silence_s` is how long it may say nothing before it counts as dead."""

    def __init__(self, base_url: str, uds: Path | None, connect_s: float, silence_s: float) -> None:
        # No kept connections: a fresh one costs microseconds here, and one that the other side
        # closed meanwhile would fail a question for no reason.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.Client(
            base_url=base_url,
            # Nothing is encrypted on a socket of our own; reading the list of authorities for it
            # would take longer than the first question's way to the model.
            transport=httpx.HTTPTransport(
                uds=str(uds) if uds else None, limits=limits, verify=base_url.startswith("https:")
            ),
            timeout=httpx.Timeout(silence_s, connect=connect_s),
            trust_env=False,
        )
        self._silence_s = silence_s
        self._local = LocalStreams(uds, connect_s, silence_s) if uds else None

    def close(self) -> None:
        self._client.close()
        if self._local is not None:
            self._local.close()

    @contextlib.contextmanager
    def stream(
        self, path: str, body: Mapping[str, Any], wire: Wire | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Yield the bytes of an answer; leaving the block closes the connection."""
        if self._local is not None:
            data, noted = json.dumps(body).encode(), wire.note if wire else None
            with self._translated(), self._local.post(path, data, noted) as answer:
                status, chunks = answer
                if status != httpx.codes.OK:
                    raise error_of(status, b"".join(chunks))
                yield chunks
            return
        extensions = {"trace": wire.trace} if wire else {}
        opened = self._client.stream("POST", path, json=body, extensions=extensions)
        with self._translated(), opened as response:
            if response.status_code != httpx.codes.OK:
                until = time.monotonic() + self._silence_s
                data = _whole(response.iter_bytes(), MAX_ERROR_BYTES, until)
                raise error_of(response.status_code, data)
            yield response.iter_bytes()

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        refused: type[EngineUnavailableError] = EngineDownError,
    ) -> Mapping[str, Any]:
        """Return the object that the server answers, an empty one for anything else."""
        return self.read(self.response(method, path, body, timeout), refused)

    def read(
        self, response: httpx.Response, refused: type[EngineUnavailableError] = EngineDownError
    ) -> Mapping[str, Any]:
        """Return the object in an answer, or raise what the server means by its refusal."""
        if not response.is_success:
            raise error_of(response.status_code, response.content, refused)
        return object_in(response.content)

    def response(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> httpx.Response:
        """Return whatever the server answers, all of it within `timeout`."""
        limit = httpx.USE_CLIENT_DEFAULT if timeout is None else httpx.Timeout(timeout)
        until = time.monotonic() + (self._silence_s if timeout is None else timeout)
        opened = self._client.stream(method, path, json=body, timeout=limit)
        with self._translated(), opened as response:
            data = _whole(response.iter_bytes(), MAX_BODY_BYTES, until)
            return httpx.Response(response.status_code, content=data)

    def answers(self, path: str, timeout: float) -> bool:
        """Tell whether the server is ready: it says 503 while it loads, or knows no such route."""
        status = self.response("GET", path, timeout=timeout).status_code
        return bool(status != httpx.codes.SERVICE_UNAVAILABLE)

    def upload(self, path: str, content: Iterator[bytes], timeout: float) -> None:
        """Send bytes as they come; `timeout` is for one of them, or for the answer."""
        with self._translated():
            response = self._client.post(path, content=content, timeout=timeout)
        self.read(response, EngineUnavailableError)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what goes wrong on the way into EngineUnavailableError."""
        try:
            yield
        except EngineSaidError as error:
            raise error_of(httpx.codes.OK, json.dumps(error.body).encode()) from error
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


def _whole(chunks: Iterator[bytes], most: int, until: float) -> bytes:
    """Return a body; raise EngineUnavailableError for one without end, or that takes too long."""
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > most:
            raise EngineUnavailableError("the engine sent an answer without end")
        if time.monotonic() > until:
            raise EngineUnavailableError("the engine does not answer in time")
    return bytes(data)


def error_of(
    status: int, data: bytes, refused: type[EngineUnavailableError] = EngineDownError
) -> ApplianceError:
    """Return the error that a server's answer means, by its code first, then its status."""
    body = object_in(data)
    said = body.get("error")
    # Older servers put the fields of the error beside it.
    said = said if isinstance(said, Mapping) else {**body, "message": body.get("message") or said}
    message = str(said.get("message") or f"the engine answered {status}")[:MAX_ERROR_CHARACTERS]
    hint = said.get("hint") if isinstance(said.get("hint"), str) else None
    is_bad = status in (400, 422) or said.get("code") in (BadInputError.code, 400)
    if OVERFLOW & {str(said.get("code")), str(said.get("type"))}:
        return ContextOverflowError(message, hint=hint)
    if is_bad and OVERFLOW_WORDS.search(message):
        return ContextOverflowError(message, hint=hint)
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return TooLargeError(message, hint=hint)
    if said.get("code") == ConflictError.code:
        return ConflictError(message, hint=hint)
    if is_bad:
        return BadInputError(message, hint=hint)
    if status != httpx.codes.OK:
        return refused(message, hint=hint)
    return EngineUnavailableError(message, hint=hint)


def object_in(data: bytes) -> Mapping[str, Any]:
    """Return the JSON object in `data`, an empty one when it is something else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
