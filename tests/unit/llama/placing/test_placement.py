"""Where a model goes on common machines, and what is refused, with numbers and a next step."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import Engine as Settings
from appliance.errors import EngineUnavailableError
from appliance.llama.library_view import verified
from appliance.llama.placing.memory import MIB, ModelFacts
from appliance.llama.placing.nvidia import Driver, SeenGpu
from appliance.llama.placing.parameters import context_parameters, model_parameters, plan_for
from appliance.llama.placing.placement import plan
from tests.simulators.tiny_gguf import write_tiny_gguf
from tests.unit.llama.shapes import machine, model

AUTO = Settings()
MODEL = model()
ALL = len(MODEL.layers) + 1


def test_a_gpu_with_room_takes_everything() -> None:
    """32 answers at once, flash attention as llama.cpp decides, nothing to remark."""
    found = plan(AUTO, MODEL, machine(64, 24))
    assert (found.gpu_layers, found.slots, found.split, found.main_gpu) == (ALL, 32, (), 0)
    assert (found.flash_attention, found.cache_type_k, found.cache_type_v) == ("auto", "f16", "f16")
    assert (found.context_tokens, found.notes) == (32_768, ())


def test_without_a_gpu_the_processor_does_it_all() -> None:
    """16 answers at once, a thread for each core, every GPU kept off."""
    found = plan(AUTO, MODEL, machine(64, cores=12))
    assert (found.gpu_layers, found.main_gpu, found.slots) == (0, -1, 16)
    assert (found.threads, found.threads_batch, found.notes) == (12, 12, ())


def test_a_small_gpu_takes_a_part_and_says_so() -> None:
    """Slower than a GPU, faster than none; the operator learns what would help."""
    found = plan(AUTO, MODEL, machine(64, 4))
    assert 0 < found.gpu_layers < ALL
    assert found.slots <= 16
    assert any("layers fit on the GPUs" in note for note in found.notes)


def test_several_gpus_share_by_free_memory() -> None:
    """The larger one takes more."""
    first, second = plan(AUTO, MODEL, machine(64, 24, 12)).split
    assert first > second > 0


def test_a_gpu_that_is_nearly_full_is_left_out() -> None:
    """Somebody else works there."""
    assert plan(AUTO, MODEL, machine(64, 24, 0.3)).split == (1.0, 0.0)


def test_shares_can_be_set() -> None:
    """They are divided by their sum, and a GPU without one stays free."""
    assert plan(replace(AUTO, gpu_split="3,1"), MODEL, machine(64, 24, 24)).split == (0.75, 0.25)
    assert plan(replace(AUTO, gpu_split="0,1"), MODEL, machine(64, 24, 24)).split == (0, 1)


def test_shares_for_gpus_that_are_not_there_are_refused() -> None:
    """The rest would be a split that nobody asked for."""
    with pytest.raises(EngineUnavailableError, match="names 3 GPUs, and there are 2"):
        plan(replace(AUTO, gpu_split="1,1,1"), MODEL, machine(64, 24, 24))


def test_a_cache_is_made_smaller_before_layers_leave_the_gpu() -> None:
    """Eight bits instead of sixteen, with flash attention, which that needs; and a note."""
    found = plan(replace(AUTO, context_tokens=16_384), MODEL, machine(64, 8))
    assert (found.gpu_layers, found.cache_type_k, found.flash_attention) == (ALL, "q8_0", "on")
    assert found.context_tokens == 16_384
    assert any("q8_0" in note for note in found.notes)


@pytest.mark.parametrize(
    ("settings", "facts"),
    [(replace(AUTO, flash_attention="off"), MODEL), (AUTO, model(head_size=80, width=4_000))],
    ids=["flash attention is off", "heads of 80 numbers"],
)
def test_a_cache_that_cannot_be_smaller_stays(settings: Settings, facts: ModelFacts) -> None:
    """llama.cpp would not start otherwise."""
    there = machine(64, 8)
    assert plan(replace(settings, context_tokens=16_384), facts, there).cache_type_k == "f16"


def test_a_type_that_the_model_cannot_have_is_refused() -> None:
    """With the reason, instead of llama.cpp's silence."""
    with pytest.raises(EngineUnavailableError, match="heads keep 80 and 80 numbers") as caught:
        plan(replace(AUTO, cache_type="q8_0"), model(head_size=80), machine(64))
    assert "f16" in caught.value.hint


def test_a_context_that_nobody_set_may_shrink() -> None:
    """A model of 262,144 tokens runs on a small machine, with a note."""
    found = plan(AUTO, model(context=262_144), machine(16))
    assert 8_192 <= found.context_tokens < 262_144
    assert any("of 262,144 that the model allows" in note for note in found.notes)


def test_a_context_that_was_set_does_not() -> None:
    """Half of what was asked for would break what relies on it; the error has numbers."""
    with pytest.raises(EngineUnavailableError, match=r"32,768 tokens .* more memory") as caught:
        plan(replace(AUTO, context_tokens=32_768), MODEL, machine(8))
    assert "engine.context_tokens" in caught.value.hint


def test_the_card_sets_a_limit_too() -> None:
    """The smallest of settings, card and training counts."""
    assert plan(AUTO, MODEL, machine(64), 4_096).context_tokens == 4_096
    assert (
        plan(replace(AUTO, context_tokens=2_048), MODEL, machine(64), 4_096).context_tokens == 2_048
    )
    assert plan(AUTO, model(context=1_024), machine(64), 4_096).context_tokens == 1_024


def test_a_model_that_fits_nowhere_is_refused_with_numbers() -> None:
    """What lacks, and what to do."""
    with pytest.raises(
        EngineUnavailableError, match=r"weights of 5\.3 GiB.*2\.\d GiB more"
    ) as caught:
        plan(AUTO, MODEL, machine(4))
    assert "smaller model" in caught.value.hint


def test_layers_that_do_not_fit_are_refused_when_set() -> None:
    """The next step is to let the appliance choose."""
    with pytest.raises(EngineUnavailableError, match="the GPUs have free") as caught:
        plan(replace(AUTO, gpu_layers=ALL), MODEL, machine(64, 4))
    assert "engine.gpu_layers to -1" in caught.value.hint


def test_layers_without_a_gpu_are_remarked() -> None:
    """An answer that is slow is better than none, and the reason can be read."""
    found = plan(replace(AUTO, gpu_layers=20), MODEL, machine(64))
    assert found.gpu_layers == 0
    assert any("there is no GPU" in note for note in found.notes)


def test_an_idle_gpu_is_remarked_unless_it_is_meant_to_be() -> None:
    """A build without GPU code on a GPU server is the commonest mistake."""
    seen = SeenGpu(0, "NVIDIA L40S", 48 * 1_024 * MIB, 48 * 1_024 * MIB, "8.9")
    there = replace(machine(64), driver=Driver((seen,), "", 1, True, True))
    assert any("this build of llama.cpp" in note for note in plan(AUTO, MODEL, there).notes)
    assert plan(replace(AUTO, gpu_layers=0), MODEL, there).notes == ()


def test_a_running_state_leaves_nothing_to_keep() -> None:
    """It cannot be cut where two conversations part, so none is held for reuse."""
    assert plan(AUTO, model(state_bytes=40_000_000), machine(64)).kept_tokens == 0
    assert plan(AUTO, MODEL, machine(64)).kept_tokens > 0


def test_parameters_say_what_was_planned() -> None:
    """In llama.cpp's own words; the shares outlive the call."""
    found = plan(replace(AUTO, gpu_split="3,1"), MODEL, machine(64, 24, 24))
    loading, context = model_parameters(found), context_parameters(found)
    assert (loading.n_gpu_layers, loading.main_gpu, loading.split_mode) == (ALL, 0, 1)
    assert [loading.tensor_split[index] for index in range(3)] == [0.75, 0.25, 0]
    assert context.n_ctx == found.pool_tokens
    assert context.n_seq_max == found.slots
    assert (context.n_batch, context.n_ubatch) == (512, 512)
    assert (context.kv_unified, context.offload_kqv, context.no_perf) == (True, True, True)
    assert (context.flash_attn_type, context.type_k, context.type_v) == (-1, 1, 1)


def test_a_single_gpu_is_not_split() -> None:
    """llama.cpp then uses one device, and with none at all it is kept off them."""
    one = model_parameters(plan(AUTO, MODEL, machine(64, 24)))
    none = model_parameters(plan(AUTO, MODEL, machine(64)))
    assert (one.split_mode, one.main_gpu, one.n_gpu_layers) == (0, 0, ALL)
    assert (none.split_mode, none.main_gpu, none.n_gpu_layers) == (0, -1, 0)


def test_a_real_file_is_placed_on_this_machine(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All answers at once have the whole context, since the model is tiny; notes are logged."""
    path = tmp_path / "tiny"
    write_tiny_gguf(path, context=512)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.rename(tmp_path / f"{digest}.gguf")
    with verified(tmp_path, digest) as source:
        found = plan_for(source, Settings(threads=1, gpu_layers=0), 256)
        assert (found.context_tokens, found.slots, found.pool_tokens) == (256, 16, 4_096)
        assert not caplog.records
        with pytest.raises(EngineUnavailableError, match="heads keep 16 and 16"):
            plan_for(source, Settings(cache_type="q4_0"))
