"""A bill of materials for each model, in CycloneDX 1.6, that names the very bytes it is about.

`ml_bom` writes it at the publisher's desk; `check` refuses one that is about another model. The
bill is for people and for scanners: the appliance takes no decision from it.

Plain JSON and not cyclonedx-python-lib's classes, for two reasons: the library has no class for a
model card up to 11.12, and the hospital's side would load a large package to compare one digest.
The tests hold what is written here against the schema of CycloneDX 1.6 that ships in it.

Source: https://cyclonedx.org/docs/1.6/json/. Pure: serial number and time come in as arguments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from appliance.bundles.card import Card
from appliance.bundles.gguf import Facts
from appliance.bundles.manifest import MAX_BYTES, VerifiedModel, weights_name
from appliance.bundles.refusals import UnsafeModelError
from appliance.errors import BadInputError

SPEC_VERSION = "1.6"
MODEL_TYPE = "machine-learning-model"
MAX_BOM_BYTES = MAX_BYTES["bom"]
MAX_BRACKETS = 65_536
SERIAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# CycloneDX takes an SPDX identifier as `id` and refuses any other there; what is not one of
# these goes in as `name`, which is always right, only less exact.
SPDX_LICENCES = frozenset(
    {
        "AGPL-3.0-only", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0",
        "CC-BY-NC-4.0", "CC-BY-SA-4.0", "CDLA-Permissive-2.0", "GPL-3.0-only", "ISC",
        "LGPL-3.0-only", "MIT", "MPL-2.0", "OpenMDW-1.0", "Unlicense",
    }
)  # fmt: skip

FileList = Mapping[str, tuple[str, int]]
"""Per logical file name: SHA-256 in hex and length in bytes."""


def ml_bom(card: Card, facts: Facts, files: FileList, *, serial: str, moment: datetime) -> bytes:
    """Return the bill of one model as UTF-8 JSON, the same for the same arguments.

    `files` must name the whole weights, `<model>.gguf`; `serial` is a UUID in lower-case hex and
    `moment` carries a time zone. Raises BadInputError otherwise.
    """
    weights = weights_name(card.name)
    if weights not in files:
        raise BadInputError(f"the bill of materials was given no {weights}")
    if SERIAL.fullmatch(serial) is None:
        raise BadInputError("the serial number of a bill of materials is a UUID in lower case")
    if moment.tzinfo is None:
        raise BadInputError("the moment of a bill of materials has no time zone")
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "appliance bundle build"}]},
            "component": _model(card, facts, files[weights][0]),
        },
        "components": [_file(name, *files[name]) for name in sorted(files)],
        "dependencies": [
            {"ref": _reference(card), "dependsOn": [f"file:{name}" for name in sorted(files)]}
        ],
    }
    return (json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def check(data: bytes, model: VerifiedModel) -> None:
    """Raise UnsafeModelError unless the bill is about `model`, byte for byte.

    1. bounded JSON, no key twice; 2. CycloneDX 1.6; 3. exactly one model in it, with the signed
    name and version; 4. its digest is that of the whole weights; 5. every signed file that the
    bill lists has its signed digest. The bill itself and the signature over it cannot be listed.
    """
    document = _parse(data)
    if document.get("bomFormat") != "CycloneDX" or document.get("specVersion") != SPEC_VERSION:
        raise UnsafeModelError(f"the bill of materials is not CycloneDX {SPEC_VERSION}")
    components = list(_components(document))
    models = [item for item in components if item.get("type") == MODEL_TYPE]
    if len(models) != 1:
        raise UnsafeModelError(f"the bill of materials describes {len(models)} models, not one")
    for key in ("name", "version"):
        if models[0].get(key) != getattr(model, key):
            raise UnsafeModelError(f"the bill of materials is about another {key} of a model")
    if _sha256(models[0]) != model.sha256:
        raise UnsafeModelError("the bill of materials is about other weights")
    signed = {item.path.partition("/")[2]: item.sha256 for item in model.files}
    signed[weights_name(model.name)] = model.sha256
    for item in components:
        name = item.get("name")
        if item.get("type") != "file" or not isinstance(name, str) or name not in signed:
            continue
        if _sha256(item) != signed[name]:
            raise UnsafeModelError(f"the bill of materials lists another {name}")


def _model(card: Card, facts: Facts, sha256: str) -> dict[str, Any]:
    source = card.values.get("source")
    publisher = _text(card.values, "publisher")
    component: dict[str, Any] = {
        "type": MODEL_TYPE,
        "bom-ref": _reference(card),
        "name": card.name,
        "version": card.version,
        "hashes": [{"alg": "SHA-256", "content": sha256}],
        "licenses": [{"license": _licence(card.licence)}],
        "modelCard": _model_card(card, facts),
        "properties": _properties(
            {
                "parameters": facts.parameters,
                "quantisation": facts.quantisation,
                "context_tokens": facts.context_tokens,
                "layers": facts.layers,
                "vocabulary": facts.vocabulary,
                "chat_template_sha256": facts.chat_template_sha256,
                **{
                    f"source:{key}": _text(source, key)
                    for key in ("repository", "file", "revision")
                    if isinstance(source, Mapping)
                },
            }
        ),
    }
    if publisher:
        component["publisher"] = publisher
    return component


def _model_card(card: Card, facts: Facts) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "task": "text-generation",
        "modelArchitecture": facts.architecture,
    }
    training = _text(card.values, "training_data")
    if training:
        parameters["datasets"] = [
            {"type": "dataset", "name": "training data", "description": training}
        ]
    considerations: dict[str, list[str]] = {}
    use = _text(card.values, "intended_use")
    if use:
        considerations["useCases"] = [use]
    limits = card.values.get("known_limits")
    if isinstance(limits, list) and limits:
        considerations["technicalLimitations"] = [str(limit).strip() for limit in limits]
    return {
        "modelParameters": parameters,
        **({"considerations": considerations} if considerations else {}),
    }


def _file(name: str, sha256: str, length: int) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{name}",
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": sha256}],
        "properties": _properties({"length": length}),
    }


def _reference(card: Card) -> str:
    return f"model:{card.name}-{card.version}"


def _licence(licence: str) -> dict[str, str]:
    return {"id" if licence in SPDX_LICENCES else "name": licence}


def _properties(values: Mapping[str, object]) -> list[dict[str, str]]:
    # The specification asks for a name space of one's own in front of a property's name.
    return [
        {"name": f"appliance:{name}", "value": str(value)}
        for name, value in values.items()
        if value not in (None, "")
    ]


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return value.strip() if isinstance(value, str) else ""


def _parse(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BOM_BYTES:
        raise UnsafeModelError(f"the bill of materials is larger than {MAX_BOM_BYTES} bytes")
    # An empty list takes 2 bytes of JSON and 64 of memory: counted before anything is built.
    if data.count(b"{") + data.count(b"[") > MAX_BRACKETS:
        raise UnsafeModelError(f"the bill of materials has more than {MAX_BRACKETS} brackets")
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        raise UnsafeModelError("the bill of materials is not JSON, or has a key twice") from error
    if not isinstance(document, dict):
        raise UnsafeModelError("the bill of materials is no JSON object")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _components(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the subject of the bill and the components listed beside it, one level deep."""
    metadata = document.get("metadata")
    subject = metadata.get("component") if isinstance(metadata, dict) else None
    listed = document.get("components")
    for item in [subject, *(listed if isinstance(listed, list) else [])]:
        if isinstance(item, dict):
            yield item


def _sha256(component: Mapping[str, Any]) -> str | None:
    """Return the one SHA-256 a component states, in lower case, or None."""
    hashes = component.get("hashes")
    found = [
        item.get("content")
        for item in (hashes if isinstance(hashes, list) else [])
        if isinstance(item, dict) and item.get("alg") == "SHA-256"
    ]
    if len(found) != 1 or not isinstance(found[0], str):
        return None
    return found[0].lower()
