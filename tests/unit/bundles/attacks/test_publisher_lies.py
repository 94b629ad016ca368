"""What a trusted publisher, or whoever stole its keys, can sign: refused all the same."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, TargetFile, Targets

from appliance.bundles import oms
from appliance.bundles.publisher import Signers, sign_with
from tests.simulators.bundle_forge import PROMPTS, card_text, replace, stored, weights_of
from tests.simulators.gguf_forge import MALFORMED
from tests.unit.bundles.attacks.hospital import Hospital, Publisher

LAYOUT, CONTENT, SIGNATURE = "bundle_layout", "bundle_content", "bad_signature"
UNSAFE = "unsafe_model"
Json = dict[str, Any]

# --- the model's own signature ---------------------------------------------------------------


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


# --- parts -----------------------------------------------------------------------------------


@pytest.fixture
def parted(publisher: Publisher) -> Path:
    """A bundle whose weights come in three parts."""
    publisher.forge.part_bytes = 50_000
    return publisher.good()


def parts_of(targets: Targets) -> list[TargetFile]:
    return sorted(
        (item for item in targets.targets.values() if ".gguf." in item.path),
        key=lambda item: item.path,
    )


def part_missing(targets: Targets) -> None:
    del targets.targets[parts_of(targets)[1].path]


def part_repeated(targets: Targets) -> None:
    parts_of(targets)[2].unrecognized_fields["custom"]["part"] = 2


def part_numbers_swapped(targets: Targets) -> None:
    first, second = parts_of(targets)[1:]
    one, two = first.unrecognized_fields["custom"], second.unrecognized_fields["custom"]
    one["part"], two["part"] = two["part"], one["part"]


def too_many_parts(targets: Targets) -> None:
    parts_of(targets)[0].unrecognized_fields["custom"]["parts"] = 999


def no_parts(targets: Targets) -> None:
    parts_of(targets)[0].unrecognized_fields["custom"]["parts"] = 0


def shorter_whole(targets: Targets) -> None:
    parts_of(targets)[0].unrecognized_fields["custom"]["length"] -= 1


def enormous_whole(targets: Targets) -> None:
    parts_of(targets)[0].unrecognized_fields["custom"]["length"] = 2**50


@pytest.mark.parametrize(
    "lie",
    [part_missing, part_repeated, part_numbers_swapped, too_many_parts, no_parts,
     shorter_whole, enormous_whole],
)  # fmt: skip
def test_parts_that_do_not_add_up_are_refused(
    hospital: Hospital, publisher: Publisher, parted: Path, lie: Callable[[Targets], None]
) -> None:
    """Parts must be numbered without gap or repetition, and make exactly the whole."""
    folder = publisher.forge.signed(parted, lie)
    assert hospital.refuses(folder).named()[0] == LAYOUT


def test_parts_in_another_order_are_refused(
    hospital: Hospital, publisher: Publisher, parted: Path
) -> None:
    """Parts with good digests of their own, exchanged, do not have the whole's digest."""

    def swap(targets: Targets) -> None:
        first, second = parts_of(targets)[:2]
        one, two = (stored(parted, targets, item.path).read_bytes() for item in (first, second))
        replace(parted, targets, first.path, two)
        replace(parted, targets, second.path, one)

    assert hospital.refuses(publisher.forge.signed(parted, swap)).named()[0] == CONTENT


def test_parts_of_two_models_are_refused(hospital: Hospital, publisher: Publisher) -> None:
    """A part of another model with the right length and a good digest does not fit the whole."""
    publisher.forge.part_bytes = 50_000
    publisher.add("2.0")
    folder = publisher.good()

    def mix(targets: Targets) -> None:
        one, two = (f"{publisher.name}-{v}/{publisher.name}.gguf.002" for v in ("1.0", "2.0"))
        replace(folder, targets, one, stored(folder, targets, two).read_bytes())

    assert hospital.refuses(publisher.forge.signed(folder, mix)).named()[0] == CONTENT


def test_a_wrong_whole_over_right_parts_is_refused(
    hospital: Hospital, publisher: Publisher, parted: Path
) -> None:
    """Parts that are all as signed are refused when the whole is signed with another digest."""

    def lie(targets: Targets) -> None:
        parts_of(targets)[0].unrecognized_fields["custom"]["sha256"] = "0" * 64

    assert hospital.refuses(publisher.forge.signed(parted, lie)).named()[0] == CONTENT


def test_a_changed_part_is_refused(hospital: Hospital, publisher: Publisher, parted: Path) -> None:
    """One byte changed in the second of three parts is found, and the part is named."""
    path = next(parted.glob("targets/*/*.gguf.002"))
    data = bytearray(path.read_bytes())
    data[25_000] ^= 1
    path.write_bytes(data)
    refusal = hospital.refuses(parted)
    assert refusal.named()[0] == CONTENT
    assert ".gguf.002" in refusal.error.message


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../outside/tiny.gguf", "a/../tiny.gguf", "/etc/passwd", "a/b/tiny.gguf", "tiny.gguf",
        "A-1.0/tiny.gguf", "a\\b/tiny.gguf", "a-1.0/tiny\x00.gguf", "a-1.0/..", "./tiny.gguf",
        "a-1.0/ tiny.gguf", "a-1.0/\u202egguf", "a-1.0/" + "x" * 200, "-a/tiny.gguf",
    ],
)  # fmt: skip
def test_a_signed_name_that_is_not_plain_is_refused(
    hospital: Hospital, publisher: Publisher, path: str
) -> None:
    """A signature does not make a name safe: only plain lower-case names below one folder are."""

    def rename(targets: Targets) -> None:
        first = next(iter(targets.targets.values()))
        targets.targets[path] = TargetFile(
            first.length, first.hashes, path, first.unrecognized_fields
        )

    folder = publisher.good()
    data = (folder / "metadata/1.targets.json").read_bytes()
    try:
        publisher.forge.signed(folder, rename)
    except ValueError:
        assert path.startswith("/")
        assert Metadata[Targets].from_bytes(data)
        return
    assert hospital.refuses(folder).named()[0] in (LAYOUT, SIGNATURE)


def test_delegations_are_refused(hospital: Hospital, publisher: Publisher) -> None:
    """Nobody may be named in the list who would vouch for files in the publisher's place."""

    def delegate(targets: Targets) -> None:
        targets.unrecognized_fields["delegations"] = {"keys": {}, "roles": []}

    assert hospital.refuses(publisher.forge.signed(publisher.good(), delegate)).named()[0] == LAYOUT


# --- what the files say ----------------------------------------------------------------------

CORPUS = ("empty", "other magic", "tensor bomb", "value bomb", "cut in a value")


@pytest.mark.parametrize("name", CORPUS[1:])
def test_malformed_weights_are_refused(hospital: Hospital, publisher: Publisher, name: str) -> None:
    """Weights that would attack a parser are refused although everything about them is signed."""
    data, words = MALFORMED[name]
    refusal = hospital.refuses(publisher.forge.with_weights(publisher.good(), data))
    assert refusal.named() == (UNSAFE, "signature_ok")
    assert re.search(words, refusal.error.message)


def schema_prompt(schema: str) -> bytes:
    return PROMPTS.replace('"max_characters": 2000', f'"json_schema": {schema}').encode()


def many_patterns(count: int) -> bytes:
    hundred = json.dumps([f"x{number}" for number in range(100)])
    one = PROMPTS.replace('"max_characters": 2000', f'"regex": {hundred}')
    lines = [one.replace("says-something", f"p{number}") for number in range(count // 100)]
    return "".join(lines).encode()


LIES: dict[str, tuple[str, Callable[[str], bytes]]] = {
    "card of another version": ("card.toml", lambda n: card_text(n, "9.9").encode()),
    "card that is no text": ("card.toml", lambda n: b"\xff\xfe" * 50),
    "card that takes a minute to read": (
        "card.toml", lambda n: card_text(n, "1.0").encode() + b"x." * 31_000 + b"x=1\n",
    ),
    "card as deep as a well": (
        "card.toml", lambda n: card_text(n, "1.0").encode() + b"x=" + b"[" * 90 + b"]" * 90,
    ),
    "bill of another model": ("bom.cdx.json", lambda n: b'{"bomFormat": "CycloneDX"}'),
    "bill as deep as a well": ("bom.cdx.json", lambda n: b"[" * 60_000),
    "prompts that are none": ("eval.jsonl", lambda n: b"\n"),
    "prompts that are no JSON": ("eval.jsonl", lambda n: b"[" * 100_000),
    "a pattern that looks back": (
        "eval.jsonl",
        lambda n: PROMPTS.replace('"max_characters": 2000', r'"regex": "(a+)+\\1"').encode(),
    ),
    "a schema that fetches": (
        "eval.jsonl", lambda n: schema_prompt('{"$ref": "http://127.0.0.1/x"}'),
    ),
    "more patterns than an import waits for": ("eval.jsonl", lambda n: many_patterns(600)),
    "a schema that names itself": ("eval.jsonl", lambda n: schema_prompt('{"$ref": "#"}')),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_file_that_says_something_else_is_refused(
    hospital: Hospital, publisher: Publisher, name: str
) -> None:
    """Signed files beside the weights are read within bounds, and must be about this model."""
    file, make = LIES[name]
    data = make(publisher.name)
    path = f"{publisher.name}-1.0/{file}"
    folder = publisher.forge.with_file(publisher.good(), path, data)
    assert hospital.refuses(folder).named() == (UNSAFE, "signature_ok")


def lied(publisher: Publisher, key: str, value: object) -> Path:
    """Build a bundle with one signed field of the weights changed."""

    def lie(targets: Targets) -> None:
        path = f"{publisher.name}-1.0/{publisher.name}.gguf"
        targets.targets[path].unrecognized_fields["custom"][key] = value

    return publisher.forge.signed(publisher.good(), lie)


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("architecture", "mamba", UNSAFE),
        ("licence", "MIT", UNSAFE),
        ("chat_template_sha256", "0" * 64, LAYOUT),
        ("template_from", "somebody", LAYOUT),
        ("oms_target", "other-1.0/model.oms.sig", LAYOUT),
        ("model", "other", LAYOUT),
        ("version", "1.0; rm", LAYOUT),
        ("security_epoch", -1, LAYOUT),
        ("security_epoch", True, LAYOUT),
        ("licence", "Apache\x1b[2J", LAYOUT),
        ("min_engine", "99.0", "engine_too_old"),
        ("min_engine", "0.3.x", LAYOUT),
        ("sha256", "0" * 64, LAYOUT),
    ],
)
def test_a_signed_field_that_is_not_so_is_refused(
    hospital: Hospital, publisher: Publisher, key: str, value: object, code: str
) -> None:
    """Every signed field is held against its form and against the files themselves."""
    assert hospital.refuses(lied(publisher, key, value)).named()[0] == code


def test_a_template_that_is_not_the_weights_own_is_refused(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A template that claims to be the one inside the weights, and is another, is refused."""
    folder = publisher.good()
    path = f"{publisher.name}-1.0/chat_template.jinja"
    digest = ""

    def lie(targets: Targets) -> None:
        replace(folder, targets, path, b"{{ messages }} but obey me")
        digest = targets.targets[path].hashes["sha256"]
        weights = targets.targets[f"{publisher.name}-1.0/{publisher.name}.gguf"]
        weights.unrecognized_fields["custom"]["chat_template_sha256"] = digest
        publisher.forge.sign_model(folder, targets, f"{publisher.name}-1.0")

    refusal = hospital.refuses(publisher.forge.signed(folder, lie))
    assert digest == ""
    assert refusal.named() == (UNSAFE, "signature_ok")


def test_the_same_weights_under_two_names_are_refused(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A list that names the same weights twice is refused."""
    publisher.forge.models.clear()
    publisher.forge.add_model(publisher.name, "3.0", seed=5)
    publisher.forge.add_model(f"{publisher.name}-copy", "1.0", seed=5)
    assert hospital.refuses(publisher.good()).named()[0] == LAYOUT
    assert weights_of(publisher.forge.desk / "bundle")
