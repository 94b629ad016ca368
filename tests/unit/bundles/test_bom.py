"""The bill of materials: valid CycloneDX, and about the very bytes that were signed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from appliance.bundles import bom, card
from appliance.bundles.gguf import Facts
from appliance.bundles.manifest import VerifiedModel, VerifiedTarget
from appliance.bundles.refusals import UnsafeModelError
from appliance.errors import BadInputError

SERIAL = "3e671687-395b-41f5-a30f-a58921a69b79"
MOMENT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WEIGHTS, SHA_CARD = "a" * 64, "b" * 64
FILES = {"m.gguf": (WEIGHTS, 2**31), "card.toml": (SHA_CARD, 400)}
CARD = b"""
name = "m"
version = "1.0"
licence = "Apache-2.0"
publisher = "Someone"
intended_use = "drafts"
training_data = "made up"
known_limits = ["small", "English only"]
[source]
repository = "someone/m-GGUF"
file = "m-Q8_0.gguf"
"""
FACTS = Facts(
    architecture="llama",
    chat_template="{{ x }}",
    chat_template_sha256="c" * 64,
    quantisation="Q8_0",
    context_tokens=4096,
    vocabulary=300,
    layers=2,
    parameters=12_345,
    tensors=20,
)
MODEL = VerifiedModel(
    name="m",
    version="1.0",
    security_epoch=1,
    min_engine="0.3",
    architecture="llama",
    chat_template_sha256="c" * 64,
    template_from="weights",
    licence="Apache-2.0",
    sha256=WEIGHTS,
    length=2**31,
    files=(
        VerifiedTarget("m-1.0/m.gguf.001", 2**30, "1" * 64, "weights", 1),
        VerifiedTarget("m-1.0/m.gguf.002", 2**30, "2" * 64, "weights", 2),
        VerifiedTarget("m-1.0/card.toml", 400, SHA_CARD, "card"),
    ),
)


def make(text: bytes = CARD) -> bytes:
    """Write the bill of the model above."""
    return bom.ml_bom(card.parse(text), FACTS, FILES, serial=SERIAL, moment=MOMENT)


def changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return the good bill after one change to it."""
    document = json.loads(make())
    change(document)
    return json.dumps(document).encode()


def test_bill_is_valid_cyclonedx() -> None:
    """The bill passes the strict schema of CycloneDX 1.6, licence identifiers included."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(make().decode()) is None


def test_bare_card_makes_a_valid_bill() -> None:
    """A card with its three required values alone makes a valid bill, a strange licence too."""
    data = make(b'name = "m"\nversion = "1.0"\nlicence = "Our own terms, 2026"\n')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    assert json.loads(data)["metadata"]["component"]["licenses"] == [
        {"license": {"name": "Our own terms, 2026"}}
    ]


def test_identifiers_are_spdx() -> None:
    """Every licence written as an identifier is one that the SPDX list knows."""
    for licence in bom.SPDX_LICENCES:
        text = CARD.replace(b"Apache-2.0", licence.encode())
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(make(text).decode()) is None


def test_bill_says_what_a_reader_asks() -> None:
    """Who, which bytes, what kind, for what, with which limits, and from where."""
    model = json.loads(make())["metadata"]["component"]
    about = model["modelCard"]
    properties = {item["name"]: item["value"] for item in model["properties"]}
    assert (model["name"], model["version"], model["publisher"]) == ("m", "1.0", "Someone")
    assert model["hashes"] == [{"alg": "SHA-256", "content": WEIGHTS}]
    assert about["modelParameters"]["modelArchitecture"] == "llama"
    assert about["modelParameters"]["datasets"][0]["description"] == "made up"
    assert about["considerations"] == {
        "useCases": ["drafts"],
        "technicalLimitations": ["small", "English only"],
    }
    assert properties["appliance:quantisation"] == "Q8_0"
    assert properties["appliance:parameters"] == "12345"
    assert properties["appliance:source:repository"] == "someone/m-GGUF"


def test_bill_is_the_same_for_the_same_model() -> None:
    """Nothing but the arguments goes in: not the clock, not chance, not the order of files."""
    turned = dict(reversed(FILES.items()))
    again = bom.ml_bom(card.parse(CARD), FACTS, turned, serial=SERIAL, moment=MOMENT)
    assert again == make()


@pytest.mark.parametrize(
    ("files", "serial", "moment"),
    [
        ({"card.toml": (SHA_CARD, 400)}, SERIAL, MOMENT),
        (FILES, "not-a-uuid", MOMENT),
        (FILES, SERIAL, MOMENT.replace(tzinfo=None)),
    ],
)
def test_bad_arguments_make_no_bill(
    files: dict[str, tuple[str, int]], serial: str, moment: datetime
) -> None:
    """Without the weights, a UUID or a time zone no bill is written."""
    with pytest.raises(BadInputError):
        bom.ml_bom(card.parse(CARD), FACTS, files, serial=serial, moment=moment)


def test_own_bill_is_accepted() -> None:
    """What the publisher's side writes, the hospital's side accepts."""
    bom.check(make(), MODEL)


def test_model_may_stand_among_the_components() -> None:
    """A bill of another tool that lists the model beside its files is accepted too."""

    def move(document: dict[str, Any]) -> None:
        document["components"].append(document["metadata"].pop("component"))

    bom.check(changed(move), MODEL)


def _subject(document: dict[str, Any]) -> dict[str, Any]:
    component: dict[str, Any] = document["metadata"]["component"]
    return component


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(bomFormat="SPDX"), "not CycloneDX"),
        (lambda d: d.update(specVersion="1.4"), "not CycloneDX"),
        (lambda d: d["metadata"].pop("component"), "0 models"),
        (lambda d: d["components"].append(_subject(d)), "2 models"),
        (lambda d: _subject(d).update(name="n"), "another name"),
        (lambda d: _subject(d).update(version="2.0"), "another version"),
        (lambda d: _subject(d)["hashes"][0].update(content="d" * 64), "other weights"),
        (lambda d: _subject(d)["hashes"].append({"alg": "SHA-256"}), "other weights"),
        (lambda d: _subject(d).update(hashes="aaaa"), "other weights"),
        (lambda d: d["components"][0]["hashes"][0].update(content="d" * 64), "another card.toml"),
        (lambda d: d["components"][1].pop("hashes"), "another m.gguf"),
        (lambda d: d.update(metadata=[]), "0 models"),
    ],
)
def test_bill_of_another_model_is_refused(
    change: Callable[[dict[str, Any]], None], words: str
) -> None:
    """A bill that is about anything but the signed model is refused, and the reason says so."""
    with pytest.raises(UnsafeModelError, match=words):
        bom.check(changed(change), MODEL)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff{}",
        b'{"bomFormat": "CycloneDX", "bomFormat": "CycloneDX"}',
        b'{"a": NaN}',
        b"[" * 60_000,
        b"[]," * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
        b" " * (bom.MAX_BOM_BYTES + 1),
    ],
    ids=["empty", "list", "bytes", "twice", "nan", "deep", "brackets", "number", "large"],
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    """Bytes that are no bill, or cost more than a bill may, are refused as such."""
    with pytest.raises(UnsafeModelError):
        bom.check(data, MODEL)
