"""Sends a checkpoint to a log collector, as one syslog message over TCP or TLS.

RFC 5424 message with the whole note in its structured data, framed by octet counting (RFC 5425
section 4.3, RFC 6587 section 3.4.1). TLS is 1.2 or newer; the collector's certificate and host
name are always verified, and there is no switch against it.

Syslog has no receipt. After the message the sending side is closed and the collector's own close
is awaited: then its machine has the bytes. Whether it stored them, it alone knows.
"""

from __future__ import annotations

import base64
import errno
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from appliance.audit.checkpoint import Checkpoint
from appliance.clock import rfc3339
from appliance.errors import BadInputError, UnavailableError, VerificationError

PORTS = {"tcp": 514, "tls": 6514}
TIMEOUT_S = 10.0
# Facility 13 (log audit), severity 5 (notice): RFC 5424 section 6.2.1.
PRIORITY = 13 * 8 + 5
# 32473 is the enterprise number for documents (RFC 5612); the project has none of its own.
ELEMENT = "checkpoint@32473"
_BYTES = 65_536
MOST_READS = 16


@dataclass(frozen=True, slots=True)
class Collector:
    """Where to send: `tls` verifies against the certificates in `ca`.

    `cert` and `key` name our own certificate where the collector asks for one; both or none.
    """

    scheme: str
    host: str
    port: int
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @property
    def address(self) -> str:
        """The address as it is written and recorded."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @classmethod
    def parse(
        cls, text: str, ca: Path | None = None, cert: Path | None = None, key: Path | None = None
    ) -> Collector:
        """Read `tcp://HOST:PORT` or `tls://HOST:PORT`; raise BadInputError otherwise."""
        example = "write tls://siem.example:6514 with --ca FILE, or tcp://HOST:514"
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise BadInputError(
                "the collector's address has no sound port", hint=example
            ) from error
        rest = parts.path.strip("/") or parts.query or parts.fragment or parts.username
        if parts.scheme not in PORTS or not parts.hostname or rest:
            raise BadInputError(f"{text!r} is no address of a collector", hint=example)
        if parts.scheme == "tls" and ca is None:
            raise BadInputError(
                "tls needs the certificates that vouch for the collector",
                hint="name their file with --ca, or set ledger.anchor_ca",
            )
        if (cert is None) != (key is None):
            raise BadInputError(
                "our own certificate needs its key, and the key its certificate",
                hint="give both --cert and --key, or neither",
            )
        return cls(parts.scheme, parts.hostname, port or PORTS[parts.scheme], ca, cert, key)


def message(checkpoint: Checkpoint, note: str, unix_time: float) -> bytes:
    """Return the syslog message, without its frame."""
    site = re.sub(r"[^\x21-\x7e]", "?", checkpoint.origin.partition("/")[0])[:255] or "-"
    head = f"<{PRIORITY}>1 {rfc3339(unix_time)} {site} appliance - checkpoint"
    return f"{head} {words(checkpoint, note)}".encode()


def words(checkpoint: Checkpoint, note: str) -> str:
    """Return what every line that carries a checkpoint says, whichever way it goes."""
    fields = {
        "origin": checkpoint.origin,
        "size": str(checkpoint.size),
        "root": base64.b64encode(checkpoint.root).decode(),
        "note": base64.b64encode(note.encode()).decode(),
    }
    element = " ".join(f'{name}="{_escaped(value)}"' for name, value in fields.items())
    return f"[{ELEMENT} {element}] checkpoint of the audit record: {checkpoint.size} entries"


def framed(data: bytes) -> bytes:
    """Return the message with its length before it."""
    return f"{len(data)} ".encode() + data


def send(collector: Collector, data: bytes, *, timeout_s: float = TIMEOUT_S) -> None:
    """Send one message and return when the collector's machine has it.

    Raises VerificationError when the collector is not who it should be, UnavailableError when it
    is not reached, does not take the message, or wants a certificate that we did not show.
    """
    context = _context(collector) if collector.scheme == "tls" else None
    try:
        with _connected(collector, context, timeout_s) as connection:
            connection.sendall(framed(data))
            _finish(connection)
    except ssl.SSLCertVerificationError as error:
        raise VerificationError(
            f"{collector.address} is not who it should be: {error.verify_message}",
            hint="nothing was sent; check the address, and that --ca (ledger.anchor_ca) names the "
            "certificates that vouch for this collector",
        ) from error
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"{collector.address} did not take the checkpoint: {_reason(error)}",
            hint="check that the collector runs, listens there, and accepts this machine",
        ) from error


def _context(collector: Collector) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=collector.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if collector.cert is not None:
            context.load_cert_chain(collector.cert, collector.key, password=_no_password)
    except (OSError, ValueError) as error:
        # ssl names no file in its errors.
        files = [str(path) for path in (collector.ca, collector.cert, collector.key) if path]
        raise BadInputError(
            f"cannot read the certificates in {', '.join(files)}: {_reason(error)}",
            hint="they are PEM files; a key must have no password",
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")


def _connected(
    collector: Collector, context: ssl.SSLContext | None, timeout_s: float
) -> socket.socket:
    connection = socket.create_connection((collector.host, collector.port), timeout=timeout_s)
    if context is None:
        return connection
    try:
        return context.wrap_socket(connection, server_hostname=collector.host)
    except BaseException:
        connection.close()
        raise


def _finish(connection: socket.socket) -> None:
    """Close our side and wait for the other side's close, which comes after all our bytes."""
    if isinstance(connection, ssl.SSLSocket):
        _finish_tls(connection)
        return
    connection.shutdown(socket.SHUT_WR)
    _drain(connection.recv)


def _finish_tls(connection: ssl.SSLSocket) -> None:
    # A collector that refuses our certificate says so only after the handshake (TLS 1.3), so
    # what it has to say is read. One that goes without close_notify has read ours all the same.
    try:
        bare = connection.unwrap()
    except (ssl.SSLEOFError, ssl.SSLSyscallError, ssl.SSLZeroReturnError):
        return
    bare.shutdown(socket.SHUT_WR)
    _drain(bare.recv)


def _drain(receive: Callable[[int], bytes]) -> None:
    """Read until the other side closes; one that talks for ever must not keep us for ever."""
    for _ in range(MOST_READS):
        if not receive(_BYTES):
            return
    raise OSError(errno.EPROTO, "it answers without end")


def _escaped(value: str) -> str:
    """Escape as RFC 5424 section 6.3.3 wants it."""
    return "".join(f"\\{character}" if character in '"\\]' else character for character in value)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return str(error.reason or "TLS failed").lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
