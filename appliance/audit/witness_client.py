"""Asks a witness over HTTP for its signature (C2SP tlog-witness), and shows it new keys.

Nothing that a witness answers is believed here: the caller verifies its signature against a
pinned key. Proxies and redirects are not followed; an answer is read up to a limit.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import httpx

from appliance.audit.checkpoint import Signature, parse_signature
from appliance.audit.tlog_witness import (
    ADD_CHECKPOINT,
    ADD_KEY,
    SIZE_TYPE,
    AddCheckpoint,
    parse_size,
)
from appliance.errors import (
    BadInputError,
    NotFoundError,
    UnavailableError,
    VerificationError,
)

TIMEOUT_S = 10.0
MAX_ANSWER = 65_536
SHOWN = 200


class WitnessClient:
    """One witness at `address` (`http://HOST:PORT`); close it when done."""

    def __init__(
        self, address: str, ca: Path | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Open nothing yet; raise BadInputError for what is no address of a witness."""
        self.address = address.rstrip("/")
        try:
            context = ssl.create_default_context(cafile=ca)
            url = httpx.URL(self.address)
        except (OSError, ValueError, httpx.InvalidURL) as error:
            raise BadInputError("the witness's address or its --ca file is not sound") from error
        if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query:
            raise BadInputError(
                f"{address!r} is no address of a witness", hint="write http://HOST:PORT"
            )
        self._http = httpx.Client(verify=context, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> WitnessClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def keys(self) -> list[str] | None:
        """Return the log's keys that the witness knows; None where it does not tell."""
        status, _, text = self._exchange("GET", "keys", None)
        if status == 404:
            return None
        if status != 200:
            raise self._refused(status, text)
        return text.split()

    def add_checkpoint(self, request: AddCheckpoint) -> list[Signature] | int:
        """Return the signatures given, or the size that this witness cosigned last (409)."""
        status, media_type, text = self._exchange("POST", ADD_CHECKPOINT, request.body())
        if status == 409 and media_type == SIZE_TYPE:
            return parse_size(text)
        if status != 200:
            raise self._refused(status, text)
        return [parse_signature(line) for line in text.splitlines()]

    def add_key(self, proof: str) -> None:
        """Show the hand-over to the log's next key."""
        status, _, text = self._exchange("POST", ADD_KEY, proof.encode())
        if status != 200:
            raise self._refused(status, text)

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, str, str]:
        """Return status, media type and text of an answer."""
        url = f"{self.address}/{path}"
        with self._translated(), self._http.stream(method, url, content=body) as response:
            data = b""
            for piece in response.iter_bytes():
                data += piece
                if len(data) > MAX_ANSWER:
                    raise BadInputError(f"the witness {self.address} answers too much")
            media_type = response.headers.get("content-type", "").partition(";")[0].strip()
            return response.status_code, media_type, data.decode("utf-8", "replace")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            cause = error.__context__ or error
            while cause.__context__ is not None and not isinstance(cause, ssl.SSLError):
                cause = cause.__context__
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise VerificationError(
                    f"the witness {self.address} is not who it should be: {cause.verify_message}",
                    hint="nothing was sent; check the address and --ca",
                ) from error
            what = "no answer in time" if isinstance(error, httpx.TimeoutException) else str(error)
            raise UnavailableError(
                f"the witness {self.address} was not reached: {what or type(error).__name__}",
                hint="check that it runs and that this machine may reach it, then try again",
            ) from error

    def _refused(self, status: int, text: str) -> Exception:
        said = " ".join(text.split())[:SHOWN]
        what = f"the witness {self.address} gave no signature ({status}): {said}"
        if status == 404:
            return NotFoundError(what, hint="it was made for another record: see its --log key")
        if status >= 500 or status in {408, 429}:
            return UnavailableError(what, hint="look at the witness's own log, then try again")
        return VerificationError(
            what,
            hint="the witness did not see this record grow from what it knows: compare "
            "`appliance audit keys` here with `appliance audit witness show` there",
        )
