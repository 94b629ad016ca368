"""What must hold wherever a model goes: any model, any machine, any settings."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from appliance.config import Engine as Settings
from appliance.errors import EngineUnavailableError
from appliance.llama.placing import memory
from appliance.llama.placing.hardware import Machine
from appliance.llama.placing.memory import ModelFacts
from appliance.llama.placing.placement import Placement, plan
from tests.unit.llama.shapes import machine, model

AUTO = Settings()
MODELS = st.builds(
    model,
    layers=st.integers(1, 80),
    layer_bytes=st.integers(1_000_000, 900_000_000),
    kv_heads=st.sampled_from([1, 4, 8, 32]),
    head_size=st.sampled_from([64, 80, 128]),
    context=st.sampled_from([512, 4_096, 32_768, 262_144]),
    state_bytes=st.sampled_from([0, 0, 40_000_000]),
)
GPUS = st.lists(st.floats(0.1, 90), max_size=4)
SETTINGS = st.builds(
    Settings,
    slots=st.sampled_from([0, 0, 1, 8, 128]),
    context_tokens=st.sampled_from([0, 0, 1_024, 8_192, 100_000]),
    pool_tokens=st.sampled_from([0, 0, 0, 131_072]),
    gpu_layers=st.sampled_from([-1, -1, 0, 5, 1_000]),
    flash_attention=st.sampled_from(["auto", "on", "off"]),
    threads=st.sampled_from([0, 3]),
)


def planned(settings: Settings, facts: ModelFacts, there: Machine, card: int = 0) -> Placement:
    """Return the placement; a refusal is another test's business."""
    try:
        return plan(settings, facts, there, card)
    except EngineUnavailableError:
        assume(False)
        raise


def taken(placement: Placement, facts: ModelFacts) -> tuple[int, int]:
    """Return the bytes of weights and cache on GPUs and on the host: what is known for certain."""
    layers, kind, tokens = placement.gpu_layers, placement.cache_type_k, placement.pool_tokens
    there = memory.cache_bytes_per_token(facts.moved(layers), kind) * tokens
    here = memory.cache_bytes_per_token(facts.kept(layers), kind) * tokens
    return facts.on_gpu(layers) + there, facts.on_host(layers) + here


@given(SETTINGS, MODELS, st.floats(0.5, 512), GPUS, st.sampled_from([0, 4_096]))
def test_memory_is_never_exceeded(
    settings: Settings, facts: ModelFacts, ram: float, gpus: list[float], card: int
) -> None:
    """Neither the machine's nor the GPUs', whatever is set: such a plan is refused."""
    there = machine(ram, *gpus)
    on_gpus, on_host = taken(planned(settings, facts, there, card), facts)
    assert on_gpus <= sum(one.free_bytes for one in there.devices)
    assert on_host <= there.ram.available


@given(SETTINGS, MODELS, st.floats(4, 512), st.lists(st.floats(1, 90), min_size=2, max_size=4))
def test_no_single_gpu_is_exceeded(
    settings: Settings, facts: ModelFacts, ram: float, gpus: list[float]
) -> None:
    """Shares are by layers, and a layer is not cut: there is room for one more on each."""
    there = machine(ram, *gpus)
    placement = planned(settings, facts, there)
    on_gpus, _ = taken(placement, facts)
    if placement.gpu_layers:
        assert sum(placement.split) == pytest.approx(1)
        for share, one in zip(placement.split, there.devices, strict=True):
            assert on_gpus * share <= one.free_bytes


@given(SETTINGS, MODELS, st.floats(1, 512), GPUS, st.sampled_from([0, 4_096]))
def test_settings_win(
    settings: Settings, facts: ModelFacts, ram: float, gpus: list[float], card: int
) -> None:
    """What was set is taken as it is or refused; what was not stays within what others allow."""
    there = machine(ram, *gpus)
    found = planned(settings, facts, there, card)
    assert found.slots == settings.slots or not settings.slots
    assert found.pool_tokens == settings.pool_tokens or not settings.pool_tokens
    assert found.threads == (settings.threads or there.cores)
    assert found.flash_attention == settings.flash_attention or settings.flash_attention == "auto"
    if settings.gpu_layers >= 0:
        most = len(facts.layers) + 1 if gpus else 0
        assert found.gpu_layers == min(settings.gpu_layers, most)
    limits = (settings.context_tokens, card, facts.training_context)
    assert found.context_tokens <= min(limit for limit in limits if limit)


@given(SETTINGS, MODELS, st.floats(1, 512), GPUS)
def test_every_placement_can_be_worked_with(
    settings: Settings, facts: ModelFacts, ram: float, gpus: list[float]
) -> None:
    """llama.cpp's own limits, and what the scheduler takes for granted."""
    found = planned(settings, facts, machine(ram, *gpus))
    assert 1 <= found.context_tokens <= found.pool_tokens
    assert found.slots >= 1
    assert found.kept_tokens >= 0
    assert 1 <= found.batch_tokens <= found.pool_tokens
    assert found.cache_type_k == "f16" or found.flash_attention == "on"
    if not settings.slots:
        assert found.pool_tokens // found.slots >= min(1_024, found.context_tokens)


@given(MODELS, st.floats(1, 256), st.floats(1, 2))
def test_more_memory_never_gives_less(facts: ModelFacts, ram: float, more: float) -> None:
    """Whoever adds memory does not lose context by it, also not where the cache's type changes."""
    small = planned(AUTO, facts, machine(ram))
    large = plan(AUTO, facts, machine(ram * more))
    assert large.pool_tokens >= small.pool_tokens
    assert large.context_tokens >= small.context_tokens
    assert large.slots >= small.slots


@given(MODELS, st.floats(0.2, 90), st.floats(1, 2))
def test_a_larger_gpu_never_takes_fewer_layers(facts: ModelFacts, size: float, more: float) -> None:
    """Layers on the GPU are what makes answers fast."""
    small = planned(AUTO, facts, machine(512, size))
    assert plan(AUTO, facts, machine(512, size * more)).gpu_layers >= small.gpu_layers
