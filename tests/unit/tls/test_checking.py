"""A certificate is put in place only when a browser will take it; each refusal says what to do."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from appliance.errors import CertificateError
from appliance.tls import authority, checking, keys, names, requests
from appliance.tls.checking import Checked
from tests.simulators.site_ca import HOST, NOW, START, YEAR, Signer, pem, root

KEY = keys.new()
PUBLIC = KEY.public_key()
ROOT = root()
ISSUING = ROOT.below()
SMALL = ec.generate_private_key(ec.SECP192R1())


def check(*given: x509.Certificate, wanted: tuple[str, ...] = (HOST,), now: float = NOW) -> Checked:
    return checking.check(given, PUBLIC, wanted, now)


def alternative(*hosts: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(names.general(hosts or (HOST,)))


def test_a_good_certificate_is_taken_with_its_chain_in_order() -> None:
    """In whatever order the files come, the server's certificate is first and the root apart."""
    leaf = ISSUING.server(PUBLIC)
    checked = check(ROOT.certificate, ISSUING.certificate, leaf)
    assert checked.chain == (leaf, ISSUING.certificate)
    assert checked.root == ROOT.certificate
    assert checked.chain_pem() == pem(leaf, ISSUING.certificate)
    assert checked.names == (HOST,)


def test_it_ends_when_the_first_of_its_chain_does() -> None:
    """A CA that ends sooner than the server's certificate ends that too."""
    brief = ROOT.below(life=timedelta(days=200))
    checked = check(brief.server(PUBLIC), brief.certificate, ROOT.certificate)
    assert checked.until == (START + timedelta(days=200)).timestamp()


def test_a_root_may_sign_directly() -> None:
    """A small site has one CA."""
    assert check(ROOT.server(PUBLIC), ROOT.certificate).chain_pem().count(b"BEGIN") == 1


def test_a_wildcard_covers_one_label() -> None:
    """`*.hospital.example` is for llm.hospital.example, and not for a.llm.hospital.example."""
    leaf = ROOT.sign(PUBLIC, x509.SubjectAlternativeName([x509.DNSName("*.hospital.example")]))
    assert check(leaf, ROOT.certificate).names == ("*.hospital.example",)
    with pytest.raises(CertificateError, match=r"not for a\.llm"):
        check(leaf, ROOT.certificate, wanted=("a.llm.hospital.example",))


def _server_below(signer: Signer) -> list[x509.Certificate]:
    return [signer.server(PUBLIC), signer.certificate, ROOT.certificate]


def _with(*extensions: x509.ExtensionType) -> list[x509.Certificate]:
    return [ROOT.sign(PUBLIC, *extensions), ROOT.certificate]


def _usage(**uses: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**{**authority.NO_USES, **uses})


REFUSED: dict[str, tuple[Callable[[], list[x509.Certificate]], str, str]] = {
    "another key": (
        lambda: [ISSUING.server(keys.new().public_key()), ISSUING.certificate, ROOT.certificate],
        "was made for this server's key", "newest request"),
    "only a CA": (lambda: [ROOT.certificate], "the certificate of a CA", "made from the request"),
    "a CA as a server": (
        lambda: _with(alternative(), x509.BasicConstraints(ca=True, path_length=None)),
        "one of a CA", "CA:FALSE"),
    "no signatures allowed": (
        lambda: _with(alternative(), _usage(key_encipherment=True)), "digital", "digitalSignature"),
    "for e-mail": (
        lambda: _with(
            alternative(), x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])),
        "not for servers", "serverAuth"),
    "no names": (lambda: _with(), "names no server", "subject alternative"),
    "another name": (
        lambda: _with(alternative("other.hospital.example")), "and not for llm", "all names"),
    "ended": (
        lambda: [ROOT.server(PUBLIC, life=timedelta(days=30)), ROOT.certificate],
        "has ended at 2026-01-31", "clock"),
    "not begun": (
        lambda: [ROOT.server(PUBLIC, start=START + YEAR), ROOT.certificate],
        "begins only at 2027", "clock"),
    "a CA that ended": (
        lambda: _server_below(ROOT.below(life=timedelta(days=30))),
        "Issuing CA has ended", "clock"),
    "no root": (
        lambda: [ISSUING.server(PUBLIC), ISSUING.certificate],
        "Hospital Root CA signed the certificate of Hospital Issuing CA", "up to the root"),
    "no chain": (lambda: [ISSUING.server(PUBLIC)], "chain is not complete", "all files at once"),
    "a root of the same name": (
        lambda: [ROOT.server(PUBLIC), root().certificate], "chain is not complete", "all files"),
    "a server that signs": (
        lambda: _server_below(ROOT.below(limits=None)), "is no CA", "sign the newest"),
    "a CA that may not sign": (
        lambda: _server_below(ROOT.below("Hospital Issuing CA", _usage(digital_signature=True))),
        "is no CA", "sign the newest"),
    "too long a path": (
        lambda: (lambda upper: [
            (lower := upper.below("Ward CA")).server(PUBLIC), lower.certificate,
            upper.certificate, ROOT.certificate,
        ])(ROOT.below(limits=x509.BasicConstraints(ca=True, path_length=0))),
        "may have 0 CAs below it and has 1", "sign the newest"),
    "a CA for other names": (
        lambda: _server_below(ROOT.below(
            "Clinic CA", names.constraints([names.subtree("clinic.example")]))),
        "Clinic CA may not vouch for llm.hospital.example", "a CA for this one"),
    "a small RSA key": (
        lambda: (lambda weak: [weak.server(PUBLIC), weak.certificate])(root(bits=1_024)),
        "1024 bits (RSA)", "stronger"),
    "a small curve": (
        lambda: _server_below(ROOT.below("Old CA", key=SMALL)), "192 bits", "stronger"),
    "something else": (
        lambda: [ROOT.server(PUBLIC), ROOT.certificate, root("Other Root").certificate],
        "nothing to do with it: Other Root", "leave them out"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_fit_is_refused_with_what_to_do_next(case: str) -> None:
    """Each in words of its own, so that the administrator knows whom to ask for what."""
    given, what, then = REFUSED[case]
    with pytest.raises(CertificateError) as refused:
        check(*given())
    assert what in refused.value.message
    assert then in refused.value.hint


def test_a_signature_over_sha1_is_refused(tmp_path: Path) -> None:
    """It can be forged. The library here cannot make one any more, so another program does."""
    style = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ca.key").write_bytes(ROOT.key.private_bytes(*style))
    (tmp_path / "ca.pem").write_bytes(pem(ROOT.certificate))
    (tmp_path / "csr").write_bytes(requests.make(KEY, (HOST,)))
    (tmp_path / "ext").write_text(f"subjectAltName=DNS:{HOST}\n")
    words = ("x509", "-req", "-sha1", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key",
             "-extfile", "ext", "-days", "30", "-out", "leaf.pem", "-set_serial", "1")  # fmt: skip
    subprocess.run(["/usr/bin/openssl", *words], cwd=tmp_path, check=True, capture_output=True)
    leaf = checking.read((tmp_path / "leaf.pem").read_bytes())[0]
    with pytest.raises(CertificateError, match="sha1"):
        check(leaf, ROOT.certificate, now=leaf.not_valid_before_utc.timestamp() + 60)


def test_a_file_with_a_private_key_is_refused() -> None:
    """A key that travelled on a stick is no secret any more."""
    with pytest.raises(CertificateError, match="private key"):
        checking.read(keys.to_pem(KEY) + pem(ROOT.certificate), "llm.pem")


@pytest.mark.parametrize("data", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    """The refusal names the forms that are taken."""
    with pytest.raises(CertificateError) as refused:
        checking.read(data, "llm.p12")
    assert "PEM" in refused.value.hint


def test_der_is_taken_as_well() -> None:
    """Windows CAs hand out `.cer` files."""
    assert checking.read(ROOT.certificate.public_bytes(Encoding.DER)) == [ROOT.certificate]


def test_one_that_browsers_may_find_too_long_is_said_to_be() -> None:
    """It is taken: the site's own browsers may be told otherwise."""
    assert check(ROOT.server(PUBLIC, life=2 * YEAR), ROOT.certificate).too_long
    assert not check(ROOT.server(PUBLIC), ROOT.certificate).too_long


def test_a_certificate_that_the_library_cannot_read_is_refused_in_words() -> None:
    """Of another version, or on an unknown curve: no error of the library comes out."""
    der = ISSUING.server(PUBLIC).public_bytes(Encoding.DER)
    version, curve = bytes.fromhex("a003020102"), bytes.fromhex("2a8648ce3d030107")
    assert version in der
    assert curve in der
    for odd in (
        der.replace(version, version[:-1] + b"\x05", 1),
        der.replace(curve, curve[:-1] + b"\x7f"),
    ):
        with pytest.raises(CertificateError, match="no certificate that can be read"):
            checking.read(odd, "odd.cer")
