"""The header reader: what it understands, and a corpus of malformed files that it must refuse."""

from __future__ import annotations

import hashlib
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.bundles import gguf_cursor
from appliance.bundles.chat_template import MAX_TEMPLATE_BYTES
from appliance.bundles.gguf import Facts, inspect
from appliance.bundles.gguf_types import BLOCKS, SCALARS
from appliance.bundles.refusals import UnsafeModelError
from tests.fuzz.engine_reader import library
from tests.simulators.gguf_forge import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I32,
    MALFORMED,
    STRING,
    U8,
    U16,
    U32,
    U64,
    build,
    entry,
    strings,
    template,
    tensor,
    text,
)
from tests.simulators.tiny_gguf import write_tiny_gguf


def look(data: bytes) -> Facts:
    return inspect(lambda offset, count: data[offset : offset + count], len(data))


def test_small_file_is_understood() -> None:
    """A well-formed file gives its architecture, context length, vocabulary and size."""
    facts = look(build())
    assert (facts.architecture, facts.context_tokens, facts.vocabulary) == ("llama", 64, 2)
    assert (facts.layers, facts.tensors, facts.parameters) == (1, 1, 8)


def test_template_is_given_and_hashed_as_it_stands() -> None:
    """The chat template comes out unchanged, with the digest of its exact UTF-8 bytes."""
    facts = look(template(STRING, text("{{ 'é' }}\r\n")))
    assert facts.chat_template == "{{ 'é' }}\r\n"
    assert facts.chat_template_sha256 == hashlib.sha256("{{ 'é' }}\r\n".encode()).hexdigest()


@pytest.mark.parametrize(
    "data", [build(without="tokenizer.chat_template"), template(STRING, text(""))]
)
def test_model_without_a_template_is_understood(data: bytes) -> None:
    """A file without a chat template, or with an empty one, has neither text nor digest."""
    facts = look(data)
    assert (facts.chat_template, facts.chat_template_sha256) == ("", "")


def test_largest_template_is_taken() -> None:
    """A chat template of exactly the limit passes."""
    assert len(look(template(STRING, text("x" * MAX_TEMPLATE_BYTES))).chat_template) == 262_144


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        (U32, 7, "Q8_0"),
        (U32, 15, "Q4_K_M"),
        (U32, 38, "MXFP4_MOE"),
        (U64, 32, "BF16"),
        (U32, 4, ""),
        (U32, 99, ""),
        (F32, 7, ""),
        (BOOL, 1, ""),
    ],
)
def test_quantisation_is_named(kind: int, value: int, name: str) -> None:
    """The file type is given by its common name, and as nothing when it is not a known number."""
    data = entry("general.file_type", kind, struct.pack(SCALARS[kind], value))
    assert look(build(data)).quantisation == name


def test_file_without_a_type_has_no_quantisation() -> None:
    """A file that does not say how it is quantised is read all the same."""
    assert look(build()).quantisation == ""


def test_tensor_types_are_those_of_the_engine() -> None:
    """Block and byte sizes of every tensor type are those of the llama.cpp that is installed."""
    engine = library()
    known = {kind: (engine.ggml_blck_size(kind), engine.ggml_type_size(kind)) for kind in range(43)}
    assert {kind: size for kind, size in known.items() if size[0] and size[1]} == dict(BLOCKS)


@pytest.mark.parametrize("kind", sorted(BLOCKS))
def test_every_tensor_type_is_read(kind: int) -> None:
    """A tensor of two blocks of any type passes with its exact number of bytes and no other."""
    block, size = BLOCKS[kind]
    tensors = (tensor("w", (2 * block,), kind=kind),)
    assert look(build(tensors=tensors, data=2 * size)).parameters == 2 * block
    with pytest.raises(UnsafeModelError):
        look(build(tensors=tensors, data=2 * size - 1))


# What the headers of real models hold beyond the least: kinds of values, not their content.
REAL = {
    "qwen3": [("attention.head_count_kv", U32, struct.pack("<I", 8))],
    "gpt-oss": [("attention.sliding_window", U32, struct.pack("<I", 128))],
    "granitehybrid": [
        ("attention.head_count_kv", ARRAY, struct.pack("<IQ4i", I32, 4, 0, 0, 8, 0)),
        ("ssm.conv_kernel", U32, struct.pack("<I", 4)),
    ],
    "gemma3": [
        ("attention.sliding_window_pattern", ARRAY, struct.pack("<IQ6?", BOOL, 6, *(1, 0) * 3)),
        ("final_logit_softcapping", F32, struct.pack("<f", 30.0)),
    ],
    "phi3": [("rope.scaling.attn_factor", F32, struct.pack("<f", 1.19))],
    "mistral3": [("rope.scaling.yarn_log_multiplier", F64, struct.pack("<d", 0.1))],
    "granite": [("vocab_size", U64, struct.pack("<Q", 2)), ("use_x", U8, b"\x01")],
}


@pytest.mark.parametrize("name", sorted(REAL))
def test_headers_of_real_families_are_read(name: str) -> None:
    """Values of every kind that current model families use pass under their own architecture."""
    own = [entry(f"{name}.{key}", kind, data) for key, kind, data in REAL[name]]
    facts = look(
        build(
            *own,
            entry("general.architecture", STRING, text(name)),
            entry(f"{name}.context_length", U32, struct.pack("<I", 131_072)),
            entry(f"{name}.block_count", U32, struct.pack("<I", 2)),
            entry("general.type", STRING, text("model")),
            entry("split.count", U16, bytes(2)),
            entry("tokenizer.ggml.scores", ARRAY, struct.pack("<IQ2f", F32, 2, -1.0, -2.0)),
            entry("tokenizer.ggml.merges", ARRAY, strings("a b", "b c")),
            entry("tokenizer.chat_template.tool_use", STRING, text("{{ y }}")),
            without="general.architecture",
            tensors=(tensor("blk.0.ffn_gate_exps.weight", (64, 2, 4), kind=39),),
            data=272,
        )
    )
    assert (facts.architecture, facts.context_tokens, facts.layers) == (name, 131_072, 2)


def test_large_vocabulary_is_counted() -> None:
    """Strings that lie across the edges of what is read at once are passed over correctly."""
    words = [f"{'word' * (number % 50)}{number}" for number in range(20_000)]
    huge = ["x" * (gguf_cursor.WINDOW + 5), "", "y" * gguf_cursor.WINDOW]
    facts = look(
        build(
            entry("tokenizer.ggml.tokens", ARRAY, strings(*words, *huge, *words)),
            without="tokenizer.ggml.tokens",
        )
    )
    assert facts.vocabulary == 40_003


def test_last_tensor_may_end_without_padding() -> None:
    """A file that ends with its last tensor, not with padding, is accepted."""
    assert look(build(tensors=(tensor("w", (3,)),), data=12)).parameters == 3


def test_own_alignment_is_followed() -> None:
    """A file with an alignment of its own is read by it."""
    value = entry("general.alignment", U32, struct.pack("<I", 8))
    tensors = (tensor("w", (2,)), tensor("v", (2,), offset=8))
    assert look(build(value, tensors=tensors, data=16)).parameters == 4


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_file_is_refused(name: str) -> None:
    """Each file of the corpus is refused with words that name what is wrong."""
    data, words = MALFORMED[name]
    with pytest.raises(UnsafeModelError, match=words):
        look(data)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a real, loadable model."""
    path: Path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_tiny_gguf(path)
    return path.read_bytes()


def test_real_model_is_understood(tiny: bytes) -> None:
    """A model that llama.cpp loads is read to its end."""
    assert look(tiny).context_tokens == 512


def test_every_cut_is_refused(tiny: bytes) -> None:
    """A file cut short anywhere, header or data, is refused."""
    header = [*range(0, 2_000, 7), *range(2_000, len(tiny), 997)]
    for end in header:
        with pytest.raises(UnsafeModelError):
            look(tiny[:end])


def test_no_mutation_crashes_the_reader(tiny: bytes) -> None:
    """Two thousand mutated headers are each read or refused; none raises anything else."""
    source = random.Random(20260301)  # noqa: S311  # repeatable, not secret
    for _ in range(2_000):
        data = bytearray(tiny)
        for _ in range(source.randint(1, 4)):
            place = source.randrange(9_000)
            size = source.choice((1, 2, 4, 8))
            data[place : place + size] = source.choice(
                (b"\xff" * size, bytes(size), source.randbytes(size))
            )
        try:
            look(bytes(data))
        except UnsafeModelError:
            continue


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_after_the_magic_crash_the_reader(data: bytes) -> None:
    """Whatever follows the magic is refused, and in no other way."""
    with pytest.raises(UnsafeModelError):
        look(b"GGUF" + data)


def test_claims_cost_no_memory_or_time() -> None:
    """A claim of 2^40 items is refused from its number alone: little is read, nothing allocated."""
    data, _ = MALFORMED["array bomb"]
    asked: list[int] = []

    def read(offset: int, count: int) -> bytes:
        asked.append(count)
        return data[offset : offset + count]

    with pytest.raises(UnsafeModelError):
        inspect(read, len(data))
    assert sum(asked) <= 4 * gguf_cursor.WINDOW
