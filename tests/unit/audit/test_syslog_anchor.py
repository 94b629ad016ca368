"""A checkpoint on its way to a real collector, and every way in which that fails."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.checkpoint import Checkpoint, SignedCheckpoint
from appliance.audit.syslog_anchor import Collector, framed, message, send
from appliance.errors import BadInputError, UnavailableError, VerificationError
from tests.simulators.authority import Authority
from tests.simulators.stack import free_port
from tests.simulators.syslog_collector import collector
from tests.simulators.tiny_log import ORIGIN, TinyLog

SIGNED = TinyLog().grow(300).signed()
NOTE = SIGNED.note()
LINE = message(SIGNED.checkpoint, NOTE, 1_800_000_000.25)


def at(port: int, scheme: str = "tcp", **files: Path) -> Collector:
    """Return the collector on this machine."""
    return Collector.parse(f"{scheme}://127.0.0.1:{port}", **files)


def note_in(structured: str) -> str:
    """Return the note that stands in structured data."""
    return base64.b64decode(re.findall(r'note="([^"]*)"', structured)[0]).decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The hospital's own certificate authority."""
    return Authority(tmp_path_factory.mktemp("authority"))


def test_the_message_is_one_line_of_rfc_5424() -> None:
    """Log audit, notice; the note whole in its structured data."""
    text = LINE.decode()
    assert text.startswith("<109>1 2027-01-15T08:00:00.250Z hospital appliance - checkpoint [")
    assert "\n" not in text
    assert f'origin="{ORIGIN}" size="300" root="' in text
    assert note_in(text) == NOTE
    assert framed(b"abc") == b"3 abc"


def test_what_would_end_the_structured_data_is_escaped() -> None:
    """A site's name with a quote or a bracket does not break the message."""
    checkpoint = Checkpoint('a"]\\/audit/1', 1, bytes(32))
    assert b'origin="a\\"\\]\\\\/audit/1"' in message(checkpoint, "x", 0)


def test_rsyslog_takes_it_over_tcp(tmp_path: Path) -> None:
    """It parses every part, and the note comes back byte for byte."""
    with collector(tmp_path / "siem") as siem:
        for _ in range(2):
            send(at(siem.port), LINE)
        first, second = siem.messages(2)
    assert first == second
    assert (first["pri"], first["host"], first["app"]) == ("109", "hospital", "appliance")
    assert first["msgid"] == "checkpoint"
    assert note_in(first["structured"]) == NOTE
    assert first["message"].strip() == "checkpoint of the audit record: 300 entries"


def test_rsyslog_takes_it_over_tls(tmp_path: Path, authority: Authority) -> None:
    """Under the hospital's own authority, by address and by name."""
    with collector(tmp_path / "siem", authority) as siem:
        send(at(siem.port, "tls", ca=authority.ca), LINE)
        [received] = siem.messages(1)
    assert SignedCheckpoint.parse(note_in(received["structured"])) == SIGNED


def test_rsyslog_that_asks_for_our_certificate_gets_it(
    tmp_path: Path, authority: Authority
) -> None:
    """With one that its authority signed, it takes the message."""
    cert, key = authority.certify(tmp_path, "appliance")
    with collector(tmp_path / "siem", authority, ask_certificate=True) as siem:
        send(at(siem.port, "tls", ca=authority.ca, cert=cert, key=key), LINE)
        assert note_in(siem.messages(1)[0]["structured"]) == NOTE


def test_a_collector_of_another_authority_is_refused(tmp_path: Path, authority: Authority) -> None:
    """Nothing is sent to it, whoever it is."""
    other = Authority(tmp_path / "other", "Other")
    with (
        collector(tmp_path / "siem", other) as siem,
        pytest.raises(VerificationError, match="is not who it should be") as caught,
    ):
        send(at(siem.port, "tls", ca=authority.ca), LINE)
    assert "nothing was sent" in caught.value.hint
    assert not siem.output.exists()


def test_a_collector_of_another_name_is_refused(tmp_path: Path, authority: Authority) -> None:
    """A certificate of the right authority for another machine is not enough."""
    cert, key = authority.certify(tmp_path, "elsewhere", ("siem.example",))
    with (
        answering(cert, key) as port,
        pytest.raises(VerificationError, match=r"IP address mismatch|not valid for"),
    ):
        send(at(port, "tls", ca=authority.ca), LINE)


def test_a_collector_that_speaks_no_tls_is_told(tmp_path: Path, authority: Authority) -> None:
    """The plain port in place of the TLS one is a common mistake."""
    with collector(tmp_path / "siem") as siem, pytest.raises(UnavailableError):
        send(at(siem.port, "tls", ca=authority.ca), LINE, timeout_s=2)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(tmp_path: Path, authority: Authority) -> None:
    """TLS 1.1 and older are broken."""
    cert, key = authority.certify(tmp_path, "old")
    with (
        answering(cert, key, newest=ssl.TLSVersion.TLSv1_1) as port,
        pytest.raises(UnavailableError),
    ):
        send(at(port, "tls", ca=authority.ca), LINE)


def test_our_certificate_that_is_missing_is_told(tmp_path: Path, authority: Authority) -> None:
    """The collector closes after the handshake; the message did not arrive, and we know."""
    cert, key = authority.certify(tmp_path, "strict")
    with (
        answering(cert, key, ask_certificate=authority.ca) as port,
        pytest.raises(UnavailableError, match="did not take the checkpoint"),
    ):
        send(at(port, "tls", ca=authority.ca), LINE)


def test_a_collector_that_is_gone_is_told() -> None:
    """Nobody listens there."""
    with pytest.raises(UnavailableError, match="connection refused") as caught:
        send(at(free_port()), LINE)
    assert "check that the collector runs" in caught.value.hint


def test_a_collector_that_hangs_is_given_up() -> None:
    """It takes the connection and then says nothing, within the time limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(UnavailableError, match="no answer in time"):
            send(at(port), LINE, timeout_s=0.2)


def test_a_collector_that_never_ends_is_given_up() -> None:
    """It sends and sends instead of closing: whoever asked is not kept for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def pour() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                while True:
                    connection.sendall(bytes(65_536))

        thread = threading.Thread(target=pour)
        thread.start()
        with pytest.raises(UnavailableError, match="without end"):
            send(at(port), LINE)
        thread.join()


def test_a_collector_that_breaks_off_is_told() -> None:
    """It closes hard with our bytes unread: they did not arrive."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(UnavailableError):
            send(at(port), LINE * 10_000)
        thread.join()


@pytest.mark.parametrize(
    "text",
    [
        "siem:514", "udp://siem:514", "tcp://", "tcp://siem:99999", "tcp://siem:x",
        "tcp://user@siem:514", "tcp://siem:514/path", "tcp://siem:514?x=1", "http://siem", "",
    ],
)  # fmt: skip
def test_what_is_no_address_is_bad_input(text: str) -> None:
    """It is said before anything is recorded or sent."""
    with pytest.raises(BadInputError):
        Collector.parse(text)


def test_an_address_is_read_with_its_usual_port() -> None:
    """514 for TCP, 6514 for TLS (RFC 5425), and brackets around IPv6."""
    assert Collector.parse("tcp://siem").address == "tcp://siem:514"
    assert Collector.parse("tls://[::1]", ca=Path("x")).address == "tls://[::1]:6514"


def test_tls_needs_its_authority_and_a_certificate_its_key(tmp_path: Path) -> None:
    """There is no way to leave the verification out."""
    with pytest.raises(BadInputError, match="vouch for the collector"):
        Collector.parse("tls://siem")
    with pytest.raises(BadInputError, match="needs its key"):
        Collector.parse("tls://siem", ca=tmp_path, cert=tmp_path)


def test_files_that_are_no_certificates_are_named(tmp_path: Path, authority: Authority) -> None:
    """With the file, since the library names none."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    with pytest.raises(BadInputError, match=r"wrong\.pem"):
        send(at(1, "tls", ca=wrong), LINE)
    with pytest.raises(BadInputError, match=r"wrong\.pem"):
        send(at(1, "tls", ca=authority.ca, cert=wrong, key=wrong), LINE)


@contextlib.contextmanager
def answering(
    cert: Path,
    key: Path,
    *,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ask_certificate: Path | None = None,
) -> Iterator[int]:
    """Answer one TLS connection and read it to its end; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if newest < ssl.TLSVersion.TLSv1_2:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = newest
    if ask_certificate is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ask_certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                plain, _ = server.accept()
                with plain, context.wrap_socket(plain, server_side=True) as connection:
                    while connection.recv(65_536):
                        pass

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        thread.join()
