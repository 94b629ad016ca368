"""The edge's certificate, as docs/how-to/run-the-stack.md has it: the first one, and the next.

A stack of its own, on which nothing exists before its first certificate is asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tests.simulators import docker_stack, site_ca
from tests.simulators.docker_stack import NAME, DockerStack, docker
from tests.simulators.stack_visitor import (
    answered_within,
    ask,
    caller,
    entity,
    entries,
    make_key,
    verified,
)

GATEWAY, GATEWAYS_GROUP = 10_002, 10_002
PASSPHRASE = "five random words in here"
TAKEN_WITHIN_S = 60
QUESTION = "Tell me everything about this appliance."


@dataclass(frozen=True)
class Site:
    """A stack without any state, a stick in its machine, and the hospital's own CA."""

    stack: DockerStack
    stick: Path
    root: site_ca.Signer

    def tls(self, *words: str) -> str:
        """Run `compose/tls.sh` with the stick in the machine; return what it says."""
        more = {"APPLIANCE_STICK": str(self.stick)}
        done = self.stack.script("tls.sh", *words, more=more, within_s=docker_stack.UP_WITHIN_S)
        self.stack.note_passwords(done.stdout)
        return done.stdout + done.stderr

    def sign(self, request: Path, signed: Path) -> None:
        """Do what the hospital's CA does with a request: sign it for the names in it."""
        asked = x509.load_pem_x509_csr(request.read_bytes())
        names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        hosts = names.value.get_values_for_type(x509.DNSName)
        addresses = names.value.get_values_for_type(x509.IPAddress)
        certificate = self.root.server(
            asked.public_key(), *hosts, *map(str, addresses),
            start=datetime.now(UTC) - timedelta(hours=1), life=timedelta(days=30),
        )  # fmt: skip
        signed.write_bytes(site_ca.pem(certificate, self.root.certificate))

    @property
    def trusted(self) -> Path:
        """Return the root's certificate, as the hospital's computers have it."""
        path = self.stick / "hospital-root.pem"
        path.write_bytes(site_ca.pem(self.root.certificate))
        return path

    def served(self, trusted: Path) -> str:
        """Return the SHA-256 of the certificate that a new connection gets; it is verified."""
        with _connected(self.stack, trusted) as connection:
            return _fingerprint(connection)


def _connected(stack: DockerStack, trusted: Path) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(trusted))
    raw = socket.create_connection(("127.0.0.1", stack.port), timeout=TAKEN_WITHIN_S)
    try:
        return context.wrap_socket(raw, server_hostname=NAME)
    except BaseException:
        raw.close()
        raise


def _fingerprint(connection: ssl.SSLSocket) -> str:
    return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()


@pytest.fixture(scope="module")
def site(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A machine on which the stack was never started."""
    stack = DockerStack(tmp_path_factory.mktemp("first"), "appliance-first", "aplf")
    stack.open_way()
    stick = stack.folder / "stick"
    stick.mkdir()
    os.chown(stick, GATEWAY, GATEWAYS_GROUP)
    stack.remove()  # what a run that was killed has left
    yield Site(stack, stick, site_ca.root())
    stack.remove()


@pytest.fixture(scope="module")
def key(site: Site) -> str:
    """Start the stack on its first certificate, from the site's CA; return an API key."""
    site.tls("request", "--name", NAME, "--name", "127.0.0.1", "--out", f"{site.stick}/edge.csr")
    site.sign(site.stick / "edge.csr", site.stick / "edge.pem")
    site.tls("install", f"{site.stick}/edge.pem")
    site.stack.up()
    return make_key(site.stack)


def test_without_a_certificate_nothing_starts(site: Site) -> None:
    """It says where to read on, and no volume was made, and no container."""
    refused = site.stack.script("up.sh", check=False)
    assert (refused.returncode, "there is no certificate" in refused.stderr) == (1, True)
    label = f"label=com.docker.compose.project={site.stack.project}"
    for kind in ("volume", "container"):
        assert docker(kind, "ls", "--quiet", "--filter", label).stdout == ""


def test_the_first_certificate_comes_before_any_state(site: Site, key: str) -> None:
    """Asked for, signed by the site's CA, put in place; then the first start, and an answer."""
    assert set(site.stack.passwords) == {"admin", "demo"}
    assert ask(site.stack, key, site.trusted)["choices"]
    recorded = [entry["action"] for entry in entries(site.stack, "--text", "certificate")]
    assert recorded.index("certificate.request") < recorded.index("certificate.install")
    assert verified(site.stack)["whole"]


def test_who_does_not_trust_the_sites_root_refuses(site: Site, key: str) -> None:
    """The certificate is good because that CA vouches for it, and for no other reason."""
    other = site.stick / "other-root.pem"
    other.write_bytes(site_ca.pem(site_ca.root("Another Root").certificate))
    with pytest.raises(ssl.SSLCertVerificationError):
        _connected(site.stack, other)


def test_a_renewal_cuts_no_answer(site: Site, key: str) -> None:
    """An answer begun on the old certificate ends on it; new connections get the new one.

    The engine stands still meanwhile, so that the answer is under way for as long as it takes.
    """
    own = _own_ca(site)
    before = site.served(site.trusted)
    answer = Answer(site, key)
    answer.begin()
    docker("pause", site.stack.container("engine"))
    try:
        site.tls("renew", "--ca", f"{site.stick}/ca", "--passphrase-file", f"{site.stick}/words")
        _until_served(site, own)
        assert site.served(own) != before == answer.certificate
    finally:
        docker("unpause", site.stack.container("engine"))
    assert answer.rest()[-1] == "data: [DONE]"
    ended = entries(site.stack, "--entity", answer.entity)
    assert [entry["action"] for entry in ended] == ["answer.request", "answer.complete"]
    answered_within(site.stack, key, own)


def _own_ca(site: Site) -> Path:
    """Make an own CA on the stick; return what computers must trust."""
    (site.stick / "words").write_text(PASSPHRASE)
    os.chown(site.stick / "words", GATEWAY, GATEWAYS_GROUP)
    limits = ("--for", NAME, "--for", "127.0.0.0/8")
    site.tls("ca", f"{site.stick}/ca", *limits, "--passphrase-file", f"{site.stick}/words")
    return site.stick / "ca" / "ca.pem"


def _until_served(site: Site, trusted: Path) -> None:
    """Return once the edge has taken a certificate that leads to this root."""
    until = time.monotonic() + TAKEN_WITHIN_S
    while True:
        try:
            site.served(trusted)
        except ssl.SSLCertVerificationError:
            assert time.monotonic() < until, "the new certificate was not taken"
            time.sleep(0.2)
        else:
            return


class Answer:
    """One answer on its way through the edge, on one connection."""

    def __init__(self, site: Site, key: str) -> None:
        self._client = caller(site.stack, site.trusted)
        body = {
            "model": "demo", "stream": True, "temperature": 1,
            "messages": [{"role": "user", "content": QUESTION}],
        }  # fmt: skip
        self._request = self._client.build_request(
            "POST", "/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
        )
        self.entity = self.certificate = ""
        self._lines: Iterator[str] = iter(())

    def begin(self) -> None:
        """Ask, and return with the first piece of the answer."""
        response = self._client.send(self._request, stream=True)
        assert response.status_code == 200
        spoken = response.extensions["network_stream"].get_extra_info("ssl_object")
        self.certificate = hashlib.sha256(spoken.getpeercert(True)).hexdigest()
        self._lines = response.iter_lines()
        piece = next(line for line in self._lines if line.startswith("data: "))
        self.entity = entity(json.loads(piece.removeprefix("data: ")))

    def rest(self) -> list[str]:
        """Return what else comes until its end."""
        with contextlib.closing(self._client):
            return [line for line in self._lines if line]
