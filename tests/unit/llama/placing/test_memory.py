"""What a model takes: arithmetic, checked against the catalogue and against llama.cpp itself."""

from __future__ import annotations

import ctypes
import hashlib
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import llama_cpp.llama_cpp as api
import pytest

from appliance.config import Engine as Settings
from appliance.llama import log
from appliance.llama.library_view import verified
from appliance.llama.placing import memory
from appliance.llama.placing.header import read_facts
from appliance.llama.placing.memory import MIB, Layer, cache_bytes_per_token, elements_bytes, in_gib
from appliance.llama.placing.parameters import context_parameters, model_parameters, plan_for
from tests.simulators.large_gguf import write_large_gguf
from tests.unit.llama.shapes import model

CATALOG = Path(__file__).resolve().parents[4] / "models" / "catalog"


@pytest.mark.parametrize(("kind", "expected"), [("f16", 2_048), ("q8_0", 1_088), ("q4_0", 576)])
def test_types_of_cache_take_what_ggml_says(kind: str, expected: int) -> None:
    """1,024 numbers: two bytes each, or blocks of 32 with a scale of two bytes."""
    assert elements_bytes(1_024, kind) == expected


def test_a_block_that_is_begun_is_taken_whole() -> None:
    """33 numbers need two blocks."""
    assert elements_bytes(33, "q8_0") == 68


@pytest.mark.parametrize("path", sorted(CATALOG.glob("*.toml")), ids=lambda path: path.stem)
def test_the_catalogue_counts_in_the_same_way(path: Path) -> None:
    """Two ways to count would give an approver another number than the engine's."""
    card = tomllib.loads(path.read_text(encoding="utf-8"))
    shape, floor = card["memory"], card["hardware_floor"]
    each = shape["kv_heads"] * shape["head_size"]
    cache = cache_bytes_per_token([Layer(0, each, each)] * shape["layers"], "f16")
    whole = card["source"]["file_gb"] * 1e9 + cache * floor["context_tokens"] + 1_024 * MIB
    assert abs(whole / MIB - floor["memory_mib"]) <= 1


def test_the_last_matrix_is_the_first_thing_on_a_gpu() -> None:
    """llama.cpp counts it as a layer; then come the layers from the end."""
    facts = model(layers=4, layer_bytes=100)
    assert facts.on_gpu(0) == 0
    assert facts.on_gpu(1) == facts.output_bytes
    assert facts.on_gpu(3) == facts.output_bytes + 200
    assert facts.on_gpu(99) == facts.output_bytes + 400


@pytest.mark.parametrize("tied", [False, True])
def test_nothing_is_lost_between_gpu_and_machine(tied: bool) -> None:
    """A last matrix that is also the first one exists twice once a GPU has it."""
    facts = model(layers=4, layer_bytes=100)
    facts = type(facts)(**{**facts.__dict__, "tied": tied})
    for layers in range(6):
        twice = facts.output_bytes if tied and layers else 0
        assert facts.on_gpu(layers) + facts.on_host(layers) == facts.total_bytes + twice


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 MiB"), (-5, "0 MiB"), (300 * MIB, "300 MiB"), (5 * 2**30, "5.0 GiB")]
)
def test_sizes_read_well(count: int, said: str) -> None:
    """Operators compare them with what a card's box says."""
    assert in_gib(count) == said


@contextmanager
def llama_says() -> Iterator[list[str]]:
    """Collect what llama.cpp reports of its buffers."""
    lines: list[str] = []

    @api.llama_log_callback  # type: ignore[untyped-decorator]
    def collect(_level: int, text: bytes, _data: object) -> None:
        lines.append(text.decode())

    log.start_backend()
    api.llama_log_set(collect, ctypes.c_void_p(0))
    try:
        yield lines
    finally:
        api.llama_log_set(log._log, ctypes.c_void_p(0))


def reported(lines: list[str], what: str) -> float:
    """Return the bytes that llama.cpp reported for all buffers of a kind."""
    found = re.findall(rf"{what} buffer size = +([\d.]+) MiB", "".join(lines))
    assert found
    return sum(map(float, found)) * MIB


@pytest.mark.parametrize(
    "settings",
    [
        Settings(threads=1, pool_tokens=4_096),
        Settings(threads=1, pool_tokens=4_096, cache_type="q8_0"),
        Settings(threads=1, pool_tokens=2_048, flash_attention="off"),
    ],
    ids=["f16", "q8_0", "without flash attention"],
)
def test_llama_cpp_takes_what_was_counted(tmp_path: Path, settings: Settings) -> None:
    """Weights to the byte, the cache but for its rounding; buffers are at most as estimated."""
    path = tmp_path / "model.gguf"
    write_large_gguf(path, 1)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.rename(tmp_path / f"{digest}.gguf")
    with verified(tmp_path, digest) as source, llama_says() as lines:
        facts, placement = read_facts(source), plan_for(source, settings)
        loaded = api.llama_model_load_from_file(source.path.encode(), model_parameters(placement))
        assert api.llama_model_size(loaded) == facts.total_bytes
        context = api.llama_init_from_model(loaded, context_parameters(placement))
        assert context
        api.llama_free(context)
        api.llama_model_free(loaded)
    tokens, flash = placement.pool_tokens, settings.flash_attention != "off"
    cache = cache_bytes_per_token(facts.layers, placement.cache_type_k) * tokens
    growing = memory.buffer_bytes_per_token(facts, placement.batch_tokens, flash=flash)
    buffers = memory.buffer_bytes(facts, placement.batch_tokens) + growing * tokens
    assert abs(reported(lines, "KV") - cache) < MIB / 50
    assert reported(lines, "compute") + reported(lines, "output") <= buffers
