"""Models and machines of known sizes, for tests of what fits where."""

from __future__ import annotations

from appliance.llama.placing.devices import Device
from appliance.llama.placing.hardware import Machine
from appliance.llama.placing.memory import GIB, Layer, ModelFacts
from appliance.llama.placing.ram import Ram


def model(
    layers: int = 36,
    layer_bytes: int = 130_000_000,
    kv_heads: int = 8,
    head_size: int = 128,
    *,
    context: int = 32_768,
    vocabulary: int = 151_936,
    width: int = 4_096,
    state_bytes: int = 0,
) -> ModelFacts:
    """Return a model; by default about that of Qwen3 8B at four bits per weight."""
    output = vocabulary * width * 13 // 16
    each = Layer(layer_bytes, kv_heads * head_size, kv_heads * head_size)
    return ModelFacts(
        training_context=context,
        layers=(each,) * layers,
        total_bytes=layers * layer_bytes + 2 * output,
        output_bytes=output,
        tied=False,
        vocabulary=vocabulary,
        width=width,
        feed_forward=3 * width,
        heads=width // head_size,
        head_sizes=(head_size, head_size),
        state_bytes=state_bytes,
    )


def machine(ram_gib: float = 64, *gpus_gib: float, cores: int = 8) -> Machine:
    """Return a machine with so much free memory, and GPUs with so much each."""
    ram = int(ram_gib * GIB)
    found = tuple(
        Device(f"CUDA{index}", "GPU", int(size * GIB), int(size * GIB))
        for index, size in enumerate(gpus_gib)
    )
    return Machine(cores, Ram(ram, ram), found)
