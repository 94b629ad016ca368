"""What the appliance makes of a witness's answers, whoever gives them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.tlog_witness import AddCheckpoint
from appliance.audit.witness_client import MAX_ANSWER, WitnessClient
from appliance.errors import (
    ApplianceError,
    BadInputError,
    NotFoundError,
    UnavailableError,
    VerificationError,
)
from tests.simulators.authority import Authority
from tests.simulators.tiny_log import TinyLog

REQUEST = AddCheckpoint(0, (), TinyLog().grow(3).signed())


@contextlib.contextmanager
def saying(answer: bytes, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Give one connection this answer, whatever it asks; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                plain, _ = server.accept()
                with plain, _wrapped(plain, context) as connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def _wrapped(plain: socket.socket, context: ssl.SSLContext | None) -> socket.socket:
    return plain if context is None else context.wrap_socket(plain, server_side=True)


def answered(status: str, body: bytes = b"", media_type: str = "text/plain") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (answered("400 Bad Request", b"no"), VerificationError),
        (answered("403 Forbidden", b"no"), VerificationError),
        (answered("404 Not Found", b"no"), NotFoundError),
        (answered("409 Conflict", b"7\n"), VerificationError),
        (answered("409 Conflict", b"seven", "text/x.tlog.size"), BadInputError),
        (answered("422 Unprocessable", b"no"), VerificationError),
        (answered("429 Too Many", b"no"), UnavailableError),
        (answered("503 Unavailable", b"no"), UnavailableError),
        (answered("302 Found"), VerificationError),
        (answered("200 OK", b"no signature\n"), BadInputError),
        (answered("200 OK", b"x" * (MAX_ANSWER + 1)), BadInputError),
        (b"what?\r\n\r\n", UnavailableError),
        (b"", UnavailableError),
    ],
)
def test_an_answer_that_is_no_signature_is_an_error(
    answer: bytes, kind: type[ApplianceError]
) -> None:
    """Each kind has its own class, and so its own exit code."""
    with saying(answer) as port, WitnessClient(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(ApplianceError) as caught:
            client.add_checkpoint(REQUEST)
        assert type(caught.value) is kind


def test_a_size_is_read() -> None:
    """From a 409 of the right media type, whatever parameters it has."""
    answer = answered("409 Conflict", b"7\n", "text/x.tlog.size; charset=utf-8")
    with saying(answer) as port, WitnessClient(f"http://127.0.0.1:{port}") as client:
        assert client.add_checkpoint(REQUEST) == 7


def test_a_witness_of_another_make_tells_no_keys() -> None:
    """The address is not in the specification, so its lack is no error."""
    with (
        saying(answered("404 Not Found")) as port,
        WitnessClient(f"http://127.0.0.1:{port}") as client,
    ):
        assert client.keys() is None


def test_a_witness_behind_tls_is_verified(tmp_path: Path) -> None:
    """The right authority is believed, another one is not."""
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.certify(tmp_path, "witness"))
    with (
        saying(answered("200 OK", b"a b\n"), context) as port,
        WitnessClient(f"https://127.0.0.1:{port}", authority.ca) as client,
    ):
        assert client.keys() == ["a", "b"]
    other = Authority(tmp_path / "other", "Other")
    with (
        saying(answered("200 OK"), context) as port,
        WitnessClient(f"https://127.0.0.1:{port}", other.ca) as client,
        pytest.raises(VerificationError, match="not who it should be"),
    ):
        client.keys()


def test_a_witness_that_is_silent_is_given_up() -> None:
    """Within the time limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            WitnessClient(address, timeout_s=0.2) as client,
            pytest.raises(UnavailableError, match="no answer in time"),
        ):
            client.keys()
