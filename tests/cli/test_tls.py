"""`appliance tls`: both ways to a certificate, what the record says, and what is refused."""

from __future__ import annotations

import os
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from appliance.tls import authority, checking, keys
from tests.cli.conftest import Ended, Run
from tests.simulators.site_ca import HOST, Signer, pem, root

PASSPHRASE = "five random words in here"
OPTIONAL = ("--passphrase-file", "-")
DAY = timedelta(days=1)


def today() -> datetime:
    return datetime.now(tz=UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def site() -> Signer:
    return root()


@pytest.fixture(scope="module")
def own_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An own CA on a stick."""
    folder = tmp_path_factory.mktemp("stick") / "ca"
    now = today().timestamp()
    authority.create(folder, "Ward CA", ("hospital.example",), PASSPHRASE.encode(), now)
    return folder


def renew(appliance: Run, ca: Path, *more: str, passphrase: str = PASSPHRASE) -> Ended:
    return appliance("tls", "renew", "--ca", str(ca), *OPTIONAL, *more, typed=passphrase + "\n")


def request(appliance: Run, folder: Path) -> x509.CertificateSigningRequest:
    """Ask for a certificate; return the request as the CA gets it."""
    file = folder / "llm.csr"
    assert appliance("tls", "request", "--name", HOST, "--out", str(file)).code == 0
    return x509.load_pem_x509_csr(file.read_bytes())


def test_from_the_sites_ca(appliance: Run, site: Signer, state: Path, tmp_path: Path) -> None:
    """Request, signature elsewhere, install: and OpenSSL finds that key and chain fit."""
    asked = request(appliance, tmp_path)
    issuing = site.below()
    leaf = issuing.server(asked.public_key(), start=today() - DAY)
    (tmp_path / "llm.crt").write_bytes(pem(leaf))
    (tmp_path / "chain.pem").write_bytes(pem(site.certificate, issuing.certificate))
    ended = appliance("tls", "install", str(tmp_path / "chain.pem"), str(tmp_path / "llm.crt"))
    assert ended.code == 0, ended.err
    current = state / "tls" / "current"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(current / "server.pem", current / "server.key")
    assert (current / "ca.pem").read_bytes() == pem(site.certificate)


def test_from_an_own_ca_in_one_command(appliance: Run, own_ca: Path) -> None:
    """With the stick in this machine: key, certificate and installation at once."""
    assert renew(appliance, own_ca, "--name", HOST).code == 0
    shown = appliance("tls", "show", "--json").value
    assert shown["state"] == "in use"
    assert shown["for"] == [HOST]
    assert shown["signed by"] == "Ward CA"
    assert 390 < shown["days left"] < 398


def test_a_renewal_keeps_the_names_and_changes_the_key(
    appliance: Run, own_ca: Path, state: Path
) -> None:
    """A key that leaked without notice is worth nothing after it."""
    key = state / "tls" / "current" / "server.key"
    assert renew(appliance, own_ca, "--name", HOST, "--name", "a.hospital.example").code == 0
    first = key.read_bytes()
    ended = renew(appliance, own_ca, "--json")
    assert ended.value["names"] == [HOST, "a.hospital.example"]
    assert key.read_bytes() != first


def test_an_own_ca_elsewhere_signs_the_request(
    appliance: Run, own_ca: Path, tmp_path: Path
) -> None:
    """The stick with the CA never has to come to the appliance."""
    request(appliance, tmp_path)
    words = (str(tmp_path / "llm.csr"), "--ca", str(own_ca), "--out", str(tmp_path / "llm.pem"))
    signed = appliance("tls", "issue", *words, *OPTIONAL, typed=PASSPHRASE + "\n")
    assert signed.code == 0, signed.err
    assert HOST in signed.err
    assert appliance("tls", "install", str(tmp_path / "llm.pem")).code == 0


def test_what_a_ca_signed_is_kept_beside_it(appliance: Run, own_ca: Path) -> None:
    """Whoever looks after the CA can list what it vouches for."""
    before = set((own_ca / "issued").glob("*"))
    digest = renew(appliance, own_ca, "--name", HOST, "--json").value["sha256"]
    (kept,) = set((own_ca / "issued").glob("*")) - before
    assert checking.fingerprint(checking.read(kept.read_bytes())[0]) == digest


def test_the_record_holds_fingerprint_and_names(appliance: Run, own_ca: Path) -> None:
    """What a ward saw in its browser can be found years later."""
    digest = renew(appliance, own_ca, "--name", HOST, "--json").value["sha256"]
    listed = appliance("audit", "list", "--action", "certificate.install", "--json").value
    intent, success = listed["entries"][-2:]
    assert (intent["outcome"], success["outcome"]) == ("intent", "success")
    assert success["content"]["sha256"] == digest
    assert success["content"]["names"] == [HOST]
    assert success["agent"]["user"].startswith("os:")


def test_the_request_holds_no_secret(appliance: Run, state: Path, tmp_path: Path) -> None:
    """The key is in the state folder and nowhere else, and the record names it by its digest."""
    asked = request(appliance, tmp_path)
    key = keys.from_pem((state / "tls" / "pending" / "server.key").read_bytes())
    assert b"PRIVATE" not in (tmp_path / "llm.csr").read_bytes()
    listed = appliance("audit", "list", "--action", "certificate.request", "--json").value
    digest = keys.public_digest(key.public_key())
    assert listed["entries"][-1]["content"]["key_sha256"] == digest
    assert keys.public_digest(asked.public_key()) == digest


def _files(folder: Path, *certificates: x509.Certificate) -> str:
    (folder / "given.pem").write_bytes(pem(*certificates))
    return str(folder / "given.pem")


def test_what_is_refused_changes_nothing_and_is_recorded(
    appliance: Run, own_ca: Path, site: Signer, state: Path, tmp_path: Path
) -> None:
    """The edge goes on with what it has; the refusal stands in the record."""
    assert renew(appliance, own_ca, "--name", HOST).code == 0
    served = os.readlink(state / "tls" / "current")
    request(appliance, tmp_path)
    leaf = site.server(keys.new().public_key(), start=today() - DAY)
    ended = appliance("tls", "install", _files(tmp_path, leaf, site.certificate))
    assert ended.code == 1
    assert "made for this server's key" in ended.err
    assert "next: " in ended.err
    assert os.readlink(state / "tls" / "current") == served
    listed = appliance("audit", "list", "--action", "certificate.install", "--json").value
    assert listed["entries"][-1]["outcome"] == "refused"
    assert listed["entries"][-1]["content"]["code"] == "bad_certificate"


def test_without_a_request_there_is_nothing_to_install(
    appliance: Run, site: Signer, tmp_path: Path
) -> None:
    """It says how to begin."""
    ended = appliance("tls", "install", _files(tmp_path, site.certificate))
    assert ended.code == 1
    assert "appliance tls request" in ended.err


def test_a_name_outside_of_the_cas_is_refused(appliance: Run, own_ca: Path, state: Path) -> None:
    """Whoever steals the stick cannot pass for a bank."""
    ended = renew(appliance, own_ca, "--name", "bank.example")
    assert ended.code == 1
    assert "may not vouch for bank.example" in ended.err
    assert not (state / "tls" / "current").exists()


def test_a_wrong_passphrase_opens_nothing(appliance: Run, own_ca: Path) -> None:
    """It is refused before anything is made."""
    ended = renew(appliance, own_ca, "--name", HOST, passphrase="four other words here")
    assert ended.code == 1
    assert "passphrase" in ended.err


def test_a_weak_passphrase_is_refused(appliance: Run, tmp_path: Path) -> None:
    """A stick can be lost, and a short one guessed."""
    words = ("tls", "ca", str(tmp_path / "ca"), "--for", "hospital.example", *OPTIONAL)
    assert appliance(*words, typed="short\n").code == 2
    assert not (tmp_path / "ca").exists()


def test_a_ca_is_never_replaced(appliance: Run, own_ca: Path) -> None:
    """The site's computers trust the one that is there."""
    before = (own_ca / "ca.key").read_bytes()
    words = ("tls", "ca", str(own_ca), "--for", "hospital.example", *OPTIONAL)
    assert appliance(*words, typed=PASSPHRASE + "\n").code == 1
    assert (own_ca / "ca.key").read_bytes() == before


def test_the_cas_key_is_encrypted_and_closed(own_ca: Path) -> None:
    """In OpenSSH's format, so other tools can read it with the passphrase."""
    data = (own_ca / "ca.key").read_bytes()
    assert data.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    assert (own_ca / "ca.key").stat().st_mode & 0o077 == 0


def test_a_file_that_cannot_be_read_is_named(appliance: Run, site: Signer) -> None:
    """With what to check, and nothing changed."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        file = Path(_files(folder, site.certificate))
        file.chmod(0)
        own = os.geteuid()
        if own == 0:  # root may read everything
            os.seteuid(65_534)
        try:
            ended = appliance("tls", "install", str(file))
        finally:
            os.seteuid(own)
    assert ended.code == 1
    assert f"{file}: permission denied" in ended.err
    assert "who may use it" in ended.err


def test_show_says_how_to_begin(appliance: Run) -> None:
    """Where there is no certificate, the two ways to one."""
    ended = appliance("tls", "show")
    assert "none" in ended.out
    assert "tls request" in ended.err
    assert "tls ca" in ended.err


def test_show_and_doctor_say_when_to_renew(appliance: Run, own_ca: Path) -> None:
    """From thirty days before the end."""
    assert renew(appliance, own_ca, "--name", HOST, "--days", "31").code == 0
    found = {item["check"]: item for item in appliance("doctor", "--json").value}
    assert found["certificate"]["verdict"] == "ok"
    assert renew(appliance, own_ca, "--days", "29").code == 0
    found = {item["check"]: item for item in appliance("doctor", "--json").value}
    assert found["certificate"]["verdict"] == "warn"
    assert "tls renew" in found["certificate"]["next"]
    assert "tls renew" in appliance("tls", "show").err


def test_doctor_fails_on_a_key_that_others_may_read(
    appliance: Run, own_ca: Path, state: Path
) -> None:
    """Whoever reads it can pass for the appliance."""
    assert renew(appliance, own_ca, "--name", HOST).code == 0
    (state / "tls" / "current" / "server.key").chmod(0o644)
    found = {item["check"]: item for item in appliance("doctor", "--json").value}
    assert found["certificate"]["verdict"] == "fail"


def test_doctor_fails_when_key_and_certificate_do_not_fit(
    appliance: Run, own_ca: Path, state: Path
) -> None:
    """A file that was put there by hand is found before nginx does not start."""
    assert renew(appliance, own_ca, "--name", HOST).code == 0
    (state / "tls" / "current" / "server.key").write_bytes(keys.to_pem(keys.new()))
    found = {item["check"]: item for item in appliance("doctor", "--json").value}
    assert found["certificate"]["verdict"] == "fail"
    assert appliance("tls", "show", "--json").value["state"] == "not fit"
