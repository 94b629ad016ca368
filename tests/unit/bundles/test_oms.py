"""The signature that outlives a bundle: what it must be, and what passes for one and is not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from appliance.bundles import oms
from appliance.bundles.publisher import sign_with
from appliance.bundles.refusals import SignatureError

DIGESTS = {"tiny.gguf": "a" * 64, "card.toml": "b" * 64}
Json = dict[str, Any]


@pytest.fixture(scope="module")
def signer() -> CryptoSigner:
    """One person of the publisher."""
    return CryptoSigner.generate_ecdsa()


def public(signer: CryptoSigner) -> bytes:
    return signer.public_key.keyval["public"].encode()


def signature(signer: CryptoSigner) -> bytes:
    return oms.sign("tiny-1.0", DIGESTS, public(signer), sign_with(signer))


def restated(signer: CryptoSigner, change: Callable[[Json], None]) -> bytes:
    """Return a valid signature over a statement that was changed before it was signed."""
    value = json.loads(oms.statement("tiny-1.0", DIGESTS))
    change(value)
    payload = json.dumps(value).encode()
    bundle = json.loads(signature(signer))
    made = sign_with(signer)(oms.pae(payload))
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(made).decode()
    return json.dumps(bundle).encode()


def test_signature_over_the_files_says_who_signed(signer: CryptoSigner) -> None:
    """A good signature gives the key that made it, in the form other tools name it by."""
    found = oms.verify(signature(signer), [public(signer)], DIGESTS)
    assert found == oms.load(public(signer))


def test_key_that_is_not_pinned_is_refused(signer: CryptoSigner) -> None:
    """A signature by any other key than those given is none."""
    other = CryptoSigner.generate_ecdsa()
    with pytest.raises(SignatureError, match="does not name"):
        oms.verify(signature(signer), [public(other)], DIGESTS)


def test_hint_at_another_key_does_not_help(signer: CryptoSigner) -> None:
    """Claiming a pinned key without its signature is noticed."""
    pinned = CryptoSigner.generate_ecdsa()
    bundle = json.loads(signature(signer))
    bundle["verificationMaterial"]["publicKey"]["hint"] = oms.load(public(pinned)).key_sha256
    with pytest.raises(SignatureError, match="does not fit"):
        oms.verify(json.dumps(bundle).encode(), [public(pinned)], DIGESTS)


def test_key_of_another_kind_signs_no_model() -> None:
    """An RSA key is not one that models are signed with."""
    key = CryptoSigner.generate_rsa().public_key.keyval["public"].encode()
    with pytest.raises(SignatureError, match="P-256"):
        oms.load(key)


@pytest.mark.parametrize(
    "digests",
    [
        {"tiny.gguf": "c" * 64, "card.toml": "b" * 64},
        {"tiny.gguf": "a" * 64},
        {**DIGESTS, "eval.jsonl": "c" * 64},
        {"other.gguf": "a" * 64, "card.toml": "b" * 64},
        {},
    ],
    ids=["content", "file missing here", "file more here", "name", "none"],
)
def test_signature_of_another_model_is_refused(
    signer: CryptoSigner, digests: dict[str, str]
) -> None:
    """The files must be exactly those that were signed: no other, none more, none less."""
    with pytest.raises(SignatureError, match="other files"):
        oms.verify(signature(signer), [public(signer)], digests)


def _predicate_type(value: Json) -> None:
    value["predicateType"] = "https://model_signing/Digests/v0.1"


def _statement_type(value: Json) -> None:
    value["_type"] = "https://in-toto.io/Statement/v0.1"


def _two_subjects(value: Json) -> None:
    value["subject"] *= 2


def _other_subject(value: Json) -> None:
    value["subject"][0]["digest"]["sha256"] = "0" * 64


def _twice_named(value: Json) -> None:
    resources = value["predicate"]["resources"]
    resources.append({**resources[0]})
    value["subject"][0]["digest"]["sha256"] = oms.root_digest(resources)


def _links(value: Json) -> None:
    value["predicate"]["serialization"]["allow_symlinks"] = True


def _shards(value: Json) -> None:
    value["predicate"]["serialization"]["method"] = "shards"


def _algorithm(value: Json) -> None:
    value["predicate"]["resources"][0]["algorithm"] = "blake2b"


def _no_predicate(value: Json) -> None:
    value["predicate"] = None


def _number_for_a_digest(value: Json) -> None:
    value["predicate"]["resources"][0]["digest"] = 7


@pytest.mark.parametrize(
    "change",
    [
        _predicate_type,
        _statement_type,
        _two_subjects,
        _other_subject,
        _twice_named,
        _links,
        _shards,
        _algorithm,
        _no_predicate,
        _number_for_a_digest,
    ],
)
def test_statement_of_another_kind_is_refused(
    signer: CryptoSigner, change: Callable[[Json], None]
) -> None:
    """A pinned key's signature over anything but an exact OMS v1.0 statement is refused."""
    with pytest.raises(SignatureError):
        oms.verify(restated(signer, change), [public(signer)], DIGESTS)


def _media_type(bundle: Json) -> None:
    bundle["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.2+json"


def _certificate(bundle: Json) -> None:
    bundle["verificationMaterial"]["certificate"] = {"rawBytes": "AAAA"}


def _no_hint(bundle: Json) -> None:
    del bundle["verificationMaterial"]["publicKey"]["hint"]


def _two_signatures(bundle: Json) -> None:
    bundle["dsseEnvelope"]["signatures"] *= 2


def _no_signature(bundle: Json) -> None:
    bundle["dsseEnvelope"]["signatures"] = []


def _payload_type(bundle: Json) -> None:
    bundle["dsseEnvelope"]["payloadType"] = "text/plain"


def _payload_bit(bundle: Json) -> None:
    payload = bundle["dsseEnvelope"]["payload"]
    bundle["dsseEnvelope"]["payload"] = (
        payload[:40] + ("A" if payload[40] != "A" else "B") + (payload[41:])
    )


def _not_base64(bundle: Json) -> None:
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = "%%%"


def _not_text(bundle: Json) -> None:
    bundle["dsseEnvelope"]["payload"] = 7


@pytest.mark.parametrize(
    "change",
    [
        _media_type,
        _certificate,
        _no_hint,
        _two_signatures,
        _no_signature,
        _payload_type,
        _payload_bit,
        _not_base64,
        _not_text,
    ],
)
def test_envelope_of_another_kind_is_refused(
    signer: CryptoSigner, change: Callable[[Json], None]
) -> None:
    """Exactly one signature by a plain key over an in-toto payload is accepted, nothing else."""
    bundle = json.loads(signature(signer))
    change(bundle)
    with pytest.raises(SignatureError):
        oms.verify(json.dumps(bundle).encode(), [public(signer)], DIGESTS)


@pytest.mark.parametrize("data", [b"", b"[]", b"7", b"\xff", b"[" * 100_000, b" " * 300_000])
def test_garbage_for_a_signature_is_refused(signer: CryptoSigner, data: bytes) -> None:
    """Bytes that are no signature are refused as such, whatever they are."""
    with pytest.raises(SignatureError):
        oms.verify(data, [public(signer)], DIGESTS)
