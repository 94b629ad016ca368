"""A real nginx takes a renewed certificate by itself, and cuts nothing that is under way."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.tls import authority, checking, keys
from appliance.tls.folder import Folder
from tests.simulators.stack import ROOT, free_port

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
WATCH = ROOT / "compose" / "edge" / "watch-certificate.sh"
HOST = "localhost"
PATIENCE_S = 30
FILE_BYTES = 12_000_000
CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name {host};
        ssl_protocols TLSv1.3;
        ssl_certificate {folder}/tls/current/server.pem;
        ssl_certificate_key {folder}/tls/current/server.key;
        root {folder}/www;
        limit_rate 3m;
    }}
}}
"""

# A real nginx or nothing; .ci/run installs one and accepts no skip here.
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed here")


@dataclass
class Edge:
    """nginx beside the script that watches for a new certificate, as in the edge's container."""

    folder: Path
    port: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def nginx(self) -> list[str]:
        return [str(NGINX), "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder)]

    def start(self) -> Edge:
        user = "user root;" if os.geteuid() == 0 else ""
        text = CONFIGURATION.format(folder=self.folder, port=self.port, host=HOST, user=user)
        (self.folder / "nginx.conf").write_text(text)
        (self.folder / "www").mkdir()
        watch = [str(WATCH), str(self.folder / "tls"), "0.2", *self.nginx]
        with (self.folder / "watch.log").open("wb") as log:
            for words in (self.nginx, watch):
                self.processes.append(subprocess.Popen(words, stdout=log, stderr=log))
        until(lambda: _listens(self.port))
        return self

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(PATIENCE_S)

    def said(self) -> str:
        return (self.folder / "watch.log").read_text()

    def connect(self, ca: Path | None = None) -> ssl.SSLSocket:
        """Connect as a browser that trusts the CA; raise ssl.SSLError when it would not."""
        context = ssl.create_default_context(
            cafile=str(ca or self.folder / "tls" / "current" / "ca.pem")
        )
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        try:
            return context.wrap_socket(raw, server_hostname=HOST)
        except BaseException:
            raw.close()
            raise

    def served(self) -> str:
        """Return the SHA-256 of the certificate that a new connection gets."""
        with self.connect() as connection:
            return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def own_ca(tmp_path_factory: pytest.TempPathFactory) -> authority.Authority:
    folder = tmp_path_factory.mktemp("stick") / "ca"
    authority.create(folder, "Ward CA", (HOST,), b"five random words in here", time.time())
    return authority.unlock(folder, b"five random words in here")


@pytest.fixture
def put(own_ca: authority.Authority, tmp_path: Path) -> Callable[[], str]:
    """Put a fresh certificate in place, as `appliance tls renew` does; return its SHA-256."""
    from appliance.tls import requests

    def renew() -> str:
        key, folder = keys.new(), Folder(tmp_path / "tls")
        signed = checking.read(own_ca.issue(requests.make(key, (HOST,)), time.time()))
        checked = checking.check(signed, key.public_key(), (HOST,), time.time())
        with folder.locked():
            folder.put(checked, keys.to_pem(key))
        return checked.fingerprint

    return renew


@pytest.fixture
def edge(tmp_path: Path, put: Callable[[], str]) -> Iterator[Edge]:
    """nginx with a first certificate."""
    put()
    running = Edge(tmp_path).start()
    yield running
    running.stop()


def test_a_browser_that_trusts_the_ca_connects(edge: Edge) -> None:
    """Over TLS 1.3, with nothing but the CA's certificate from the folder."""
    with edge.connect() as connection:
        assert connection.version() == "TLSv1.3"


def test_a_browser_that_trusts_another_ca_does_not(edge: Edge, tmp_path: Path) -> None:
    """The test above would else prove nothing."""
    other = tmp_path / "other"
    made = authority.create(other, "Ward CA", (HOST,), b"five random words in here", time.time())
    assert made.subject
    with pytest.raises(ssl.SSLCertVerificationError):
        edge.connect(other / authority.CERTIFICATE)


def test_a_download_goes_on_while_the_certificate_is_renewed(
    edge: Edge, put: Callable[[], str]
) -> None:
    """What is under way ends whole; new connections meanwhile see the new certificate."""
    content = os.urandom(FILE_BYTES)
    (edge.folder / "www" / "file").write_bytes(content)
    with edge.connect() as download:
        download.sendall(
            f"GET /file HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
        )
        got = bytearray(download.recv(4_096))
        renewed = put()
        until(lambda: edge.served() == renewed)
        assert len(got) < FILE_BYTES
        while piece := download.recv(65_536):
            got += piece
    assert bytes(got.partition(b"\r\n\r\n")[2]) == content


def test_one_renewal_after_another_is_taken(edge: Edge, put: Callable[[], str]) -> None:
    """Also when the second comes while nginx is taking the first."""
    last = [put() for _ in range(3)][-1]
    until(lambda: edge.served() == last)


def test_files_that_do_not_fit_are_not_taken(edge: Edge, put: Callable[[], str]) -> None:
    """A folder broken by hand leaves the edge at what it had, and the next renewal repairs it."""
    before = edge.served()
    tls = edge.folder / "tls"
    broken = tls / "versions" / "broken"
    shutil.copytree(tls / "current", broken)
    (broken / "server.key").write_bytes(keys.to_pem(keys.new()))
    link = tls / "fresh"
    link.symlink_to("versions/broken")
    link.replace(tls / "current")
    until(lambda: "was not taken" in edge.said())
    assert edge.served() == before
    renewed = put()
    until(lambda: edge.served() == renewed)
