"""The catalog of model cards: complete, true to its own rule, and free of invented digests."""

from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path
from typing import Any

import pytest

from appliance.bundles import card
from appliance.bundles.manifest import MODEL_NAME, MODEL_VERSION

MODELS = Path(__file__).resolve().parents[3] / "models"
CATALOG = MODELS / "catalog"
FILES = sorted(CATALOG.glob("*.toml"))
OPEN_LICENCES = {"Apache-2.0", "MIT"}
GPU_CLASSES = {8, 16, 24, 48, 80}
REQUIRED = {
    "name": str,
    "version": str,
    "title": str,
    "publisher": str,
    "licence": str,
    "parameters": str,
    "context_length": int,
    "quantisation": str,
    "prompt_template": str,
    "golden": str,
    "intended_use": str,
    "known_limits": list,
    "source": dict,
    "hardware_floor": dict,
    "memory": dict,
}
QUANTISATIONS = {"Q4_K_M", "Q8_0", "MXFP4"}
GIB = 2**30


def _values(path: Path) -> dict[str, Any]:
    return dict(card.parse(path.read_bytes()).values)


@pytest.fixture(scope="module")
def engine() -> bytes:
    """The bytes of the engine's library: it holds the name of every architecture it knows."""
    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "lib" / "libllama.so").read_bytes()


def test_catalog_covers_every_kind_of_machine() -> None:
    """There is a choice for each size of GPU and one for none, a dozen or more in all."""
    floors = [_values(path)["hardware_floor"] for path in FILES]
    sizes = {floor.get("gpu_gb") for floor in floors}
    assert len(FILES) >= 12
    assert sizes - {None} == GPU_CLASSES
    assert sum(floor.get("gpu") == "none" for floor in floors) == 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_card_is_complete(path: Path) -> None:
    """Every card has every field, in its form, and is named as its file is."""
    values = _values(path)
    wrong = [key for key, kind in REQUIRED.items() if not isinstance(values.get(key), kind)]
    assert wrong == []
    assert values["name"] == path.stem
    assert MODEL_NAME.fullmatch(values["name"])
    assert MODEL_VERSION.fullmatch(values["version"])
    assert values["quantisation"] in QUANTISATIONS
    assert len(values["known_limits"]) >= 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_licence_lets_a_hospital_use_it(path: Path) -> None:
    """A card's licence is an SPDX identifier that puts no bounds on the use."""
    assert _values(path)["licence"] in OPEN_LICENCES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_source_is_one_file_of_a_repository(path: Path) -> None:
    """A card names owner, repository and one whole GGUF file, and no host to fetch it from."""
    source = _values(path)["source"]
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", source["repository"])
    assert re.fullmatch(r"[\w.-]+\.gguf", source["file"])
    # Of a file split by llama.cpp's own tool no part loads alone.
    assert re.search(r"-of-\d+\.gguf$", source["file"]) is None
    assert "://" not in path.read_text("utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_digest_is_invented(path: Path) -> None:
    """A card holds no digest, of weights or of a template: the builder computes them."""
    text = path.read_text("utf-8")
    assert re.search(r"[0-9a-fA-F]{32}", text) is None
    assert "sha256" not in text.lower()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_memory_follows_the_rule(path: Path) -> None:
    """A card's floor is file + cache + 1 GiB, as README.md says, and fits the GPU it names."""
    values = _values(path)
    floor, memory = values["hardware_floor"], values["memory"]
    per_token = 2 * memory["layers"] * memory["kv_heads"] * memory["head_size"] * 2
    needed = values["source"]["file_gb"] * 1e9 + per_token * floor["context_tokens"] + GIB
    assert floor["memory_mib"] == math.ceil(needed / 2**20)
    assert floor["context_tokens"] <= values["context_length"]
    if "gpu_gb" in floor:
        assert floor["memory_mib"] <= floor["gpu_gb"] * 1024
    else:
        assert floor["gpu"] == "none"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_engine_knows_the_architecture(path: Path, engine: bytes) -> None:
    """An architecture that a card names is one that the engine of this release can load."""
    architecture = _values(path).get("architecture", "llama")
    assert b"\0" + architecture.encode() + b"\0" in engine


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_prompts_are_there(path: Path) -> None:
    """The set of golden prompts that a card asks for is in the repository."""
    assert (MODELS / "golden" / f"{_values(path)['golden']}.jsonl").is_file()


def test_readme_lists_every_card() -> None:
    """The table in the catalog's README has one line for each card, with its memory."""
    text = (CATALOG / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `([^`]+)` \|.*\| ([\d,]+) MiB \|", text, re.MULTILINE)
    listed = {name: int(memory.replace(",", "")) for name, memory in rows}
    found = {path.stem: _values(path)["hardware_floor"]["memory_mib"] for path in FILES}
    assert listed == found
