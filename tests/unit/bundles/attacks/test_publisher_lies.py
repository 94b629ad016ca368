"""What a trusted publisher, or whoever stole its keys, can sign: refused all the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, TargetFile, Targets

from tests.simulators.bundle_forge import PROMPTS, card_text, replace, weights_of
from tests.simulators.gguf_forge import MALFORMED
from tests.unit.bundles.attacks.hospital import Hospital, Publisher

LAYOUT, CONTENT, SIGNATURE = "bundle_layout", "bundle_content", "bad_signature"
UNSAFE = "unsafe_model"
Json = dict[str, Any]

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
