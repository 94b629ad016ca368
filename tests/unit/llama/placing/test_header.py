"""What the header of a weights file says of size and shape."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from appliance.errors import EngineUnavailableError
from appliance.llama.library_view import verified
from appliance.llama.placing.header import read_facts
from appliance.llama.placing.memory import Layer, ModelFacts
from tests.simulators.gguf_forge import ARRAY, I32, U32, build, entry, strings, tensor
from tests.simulators.tiny_gguf import write_tiny_gguf

WIDTH, BYTES = 64, 32
PARTS = {
    0: ("attn_q.weight", "attn_k.weight", "attn_v.weight"),
    1: ("ssm_in.weight", "ssm_conv1d.weight", "attn_norm.weight"),
    2: ("attn_qkv.weight",),
}


def number(key: str, value: int) -> bytes:
    return entry(f"llama.{key}", U32, struct.pack("<I", value))


def list_of(key: str, *values: int) -> bytes:
    items = struct.pack(f"<IQ{len(values)}i", I32, len(values), *values)
    return entry(f"llama.{key}", ARRAY, items)


SHAPE = (
    number("embedding_length", WIDTH),
    number("feed_forward_length", 128),
    number("attention.head_count", 4),
)


def facts_of(folder: Path, data: bytes) -> ModelFacts:
    """Read the header of a file with this content, as the engine would."""
    digest = hashlib.sha256(data).hexdigest()
    (folder / f"{digest}.gguf").write_bytes(data)
    with verified(folder, digest) as source:
        return read_facts(source)


def file_of(*extra: bytes, layers: int = 1, output: bool = True) -> bytes:
    """Return a file whose tensors have 8 numbers each, 32 bytes."""
    names = ["token_embd.weight", *(["output.weight"] if output else [])]
    names += [f"blk.{index}.{part}" for index in range(layers) for part in PARTS[index]]
    tensors = tuple(tensor(name, (8,), offset=BYTES * at) for at, name in enumerate(names))
    shape = (*SHAPE, *extra, number("block_count", layers))
    return build(*shape, without="llama.block_count", tensors=tensors, data=BYTES * len(names))


def test_a_real_model_is_read(tmp_path: Path) -> None:
    """Sizes are those that llama.cpp reports after loading; the vocabulary is counted."""
    path = tmp_path / "tiny"
    write_tiny_gguf(path, context=512)
    facts = facts_of(tmp_path, path.read_bytes())
    assert (facts.training_context, facts.width, facts.feed_forward) == (512, 32, 64)
    assert facts.layers == (Layer(41_216, 32, 32),)
    assert (facts.vocabulary, facts.tied, facts.state_bytes) == (302, False, 0)
    assert 0 < facts.output_bytes < facts.total_bytes < path.stat().st_size


def test_heads_that_share_keys_take_less(tmp_path: Path) -> None:
    """One pair of keys and values serves four heads here."""
    facts = facts_of(tmp_path, file_of(number("attention.head_count_kv", 1)))
    assert facts.layers[0] == Layer(3 * BYTES, 16, 16)


def test_heads_may_have_a_size_of_their_own(tmp_path: Path) -> None:
    """Keys and values need not be as wide as width over heads says."""
    sizes = (number("attention.key_length", 128), number("attention.value_length", 32))
    facts = facts_of(tmp_path, file_of(*sizes))
    assert facts.head_sizes == (128, 32)
    assert (facts.layers[0].keys, facts.layers[0].values) == (4 * 128, 4 * 32)


def test_a_number_for_each_layer_is_read(tmp_path: Path) -> None:
    """Some models have other heads in every layer."""
    facts = facts_of(tmp_path, file_of(list_of("attention.head_count_kv", 2, 0, 4), layers=3))
    assert [layer.keys for layer in facts.layers] == [32, 0, 64]


def test_a_layer_with_a_running_state_keeps_no_keys(tmp_path: Path) -> None:
    """It keeps a state for each conversation instead, however long that is."""
    state = (
        number("ssm.inner_size", 128),
        number("ssm.state_size", 16),
        number("ssm.group_count", 1),
        number("ssm.conv_kernel", 4),
    )
    facts = facts_of(tmp_path, file_of(*state, layers=3))
    assert [layer.keys for layer in facts.layers] == [64, 0, 64]
    assert facts.state_bytes == 3 * (3 * (128 + 32) + 16 * 128) * 4


def test_experts_at_work_count_together(tmp_path: Path) -> None:
    """Those at rest take room for their weights, and none to compute in."""
    experts = (number("expert_used_count", 8), number("expert_feed_forward_length", 96))
    assert facts_of(tmp_path, file_of(*experts)).feed_forward == 8 * 96


def test_a_last_matrix_that_is_the_first_is_noticed(tmp_path: Path) -> None:
    """A GPU needs a copy of it, since the first one stays with the processor."""
    facts = facts_of(tmp_path, file_of(output=False))
    assert (facts.tied, facts.output_bytes) == (True, BYTES)


@pytest.mark.parametrize(
    "data",
    [
        build(),
        build(*SHAPE, without="llama.block_count"),
        file_of(number("attention.head_count_kv", 1))[:40],
        b"GGUF",
        b"",
        file_of(entry("llama.vocab_size", ARRAY, strings("a"))).replace(b"GGUF", b"GGML"),
    ],
    ids=["no shape", "no layers", "cut", "magic alone", "empty", "other magic"],
)
def test_a_header_without_sense_is_refused(tmp_path: Path, data: bytes) -> None:
    """With an error, and not with the end of the process."""
    with pytest.raises(EngineUnavailableError, match="weights"):
        facts_of(tmp_path, data)


def test_a_value_of_another_type_is_passed_over(tmp_path: Path) -> None:
    """ggml's own getters would end the process."""
    odd = entry("llama.attention.head_count_kv", ARRAY, strings("four"))
    assert facts_of(tmp_path, file_of(odd)).layers[0].keys == 64
