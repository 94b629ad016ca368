"""A model's own signature: by another key, over something else, twice, or not at all."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Targets

from appliance.bundles import oms
from appliance.bundles.publisher import Signers, sign_with
from tests.simulators.bundle_forge import replace, stored
from tests.unit.bundles.attacks.hospital import Hospital, Publisher

LAYOUT, CONTENT, SIGNATURE = "bundle_layout", "bundle_content", "bad_signature"
UNSAFE = "unsafe_model"
Json = dict[str, Any]


def resigned(
    publisher: Publisher, folder: Path, change: Callable[[Json], None], signer: Any = None
) -> Path:
    """Change the statement of the model's own signature, and sign everything anew."""
    signer = signer or publisher.forge.signers.for_models

    def with_statement(bundle: Json) -> None:
        envelope = bundle["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        change(statement)
        payload = json.dumps(statement).encode()
        envelope["payload"] = base64.b64encode(payload).decode()
        signature = sign_with(signer)(oms.pae(payload))
        envelope["signatures"] = [{"sig": base64.b64encode(signature).decode(), "keyid": ""}]

    return repacked(publisher, folder, with_statement)


def repacked(publisher: Publisher, folder: Path, change: Callable[[Json], None]) -> Path:
    """Change the file of the model's own signature, and list it."""
    path = f"{publisher.name}-1.0/model.oms.sig"

    def put(targets: Targets) -> None:
        bundle = json.loads(stored(folder, targets, path).read_bytes())
        change(bundle)
        replace(folder, targets, path, json.dumps(bundle).encode())

    return publisher.forge.signed(folder, put)


def other_predicate(statement: Json) -> None:
    statement["predicateType"] = "https://model_signing/Digests/v0.1"


def extra_resource(statement: Json) -> None:
    extra = {"name": "extra.bin", "digest": "0" * 64, "algorithm": "sha256"}
    statement["predicate"]["resources"].append(extra)
    restate(statement)


def missing_resource(statement: Json) -> None:
    del statement["predicate"]["resources"][0]
    restate(statement)


def other_digest(statement: Json) -> None:
    statement["predicate"]["resources"][0]["digest"] = "0" * 64
    restate(statement)


def restate(statement: Json) -> None:
    digest = oms.root_digest(statement["predicate"]["resources"])
    statement["subject"][0]["digest"]["sha256"] = digest


@pytest.mark.parametrize("lie", [other_predicate, extra_resource, missing_resource, other_digest])
def test_a_model_signature_over_something_else_is_refused(
    hospital: Hospital, publisher: Publisher, lie: Callable[[Json], None]
) -> None:
    """A model's own signature must be of the one kind, over exactly the files of the model."""
    folder = resigned(publisher, publisher.good(), lie)
    assert hospital.refuses(folder).named() == (SIGNATURE, "streamed")


def two_signatures(bundle: Json) -> None:
    bundle["dsseEnvelope"]["signatures"] *= 2


def no_signature(bundle: Json) -> None:
    bundle["dsseEnvelope"]["signatures"] = []


def certificate(bundle: Json) -> None:
    bundle["verificationMaterial"]["certificate"] = {"rawBytes": ""}


def payload_type(bundle: Json) -> None:
    bundle["dsseEnvelope"]["payloadType"] = "text/plain"


@pytest.mark.parametrize("lie", [two_signatures, no_signature, certificate, payload_type])
def test_an_envelope_of_another_kind_is_refused(
    hospital: Hospital, publisher: Publisher, lie: Callable[[Json], None]
) -> None:
    """Exactly one signature by a plain key counts; two, none or a certificate do not."""
    folder = repacked(publisher, publisher.good(), lie)
    assert hospital.refuses(folder).named() == (SIGNATURE, "streamed")


def test_the_signature_of_another_model_is_refused(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A good signature of one model in the place of another's is refused."""
    publisher.add("2.0")
    folder = publisher.good()

    def swap(targets: Targets) -> None:
        other = stored(folder, targets, f"{publisher.name}-2.0/model.oms.sig").read_bytes()
        replace(folder, targets, f"{publisher.name}-1.0/model.oms.sig", other)

    refusal = hospital.refuses(publisher.forge.signed(folder, swap))
    assert refusal.named() == (SIGNATURE, "streamed")
    assert "covers other files" in refusal.error.message


def test_a_key_outside_the_role_of_targets_signs_no_model(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A model signed by a key that the root does not name for targets is refused."""
    folder, stranger = publisher.good(), CryptoSigner.generate_ecdsa()

    def sign(targets: Targets) -> None:
        publisher.forge.sign_model(folder, targets, f"{publisher.name}-1.0", stranger)

    refusal = hospital.refuses(publisher.forge.signed(folder, sign))
    assert refusal.named() == (SIGNATURE, "streamed")


def test_a_key_that_was_rotated_out_signs_no_model(
    hospital: Hospital, publisher: Publisher
) -> None:
    """New keys that vouch for a list do not make good what a revoked key signed of a model."""
    former = publisher.forge.signers.for_models
    publisher.forge.rotate(Signers.one(CryptoSigner.generate_ecdsa()))
    folder = publisher.good()

    def sign(targets: Targets) -> None:
        publisher.forge.sign_model(folder, targets, f"{publisher.name}-1.0", former)

    refusal = hospital.refuses(publisher.forge.signed(folder, sign))
    assert refusal.named() == (SIGNATURE, "streamed")
