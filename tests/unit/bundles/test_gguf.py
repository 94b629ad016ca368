"""The header reader: what it understands, and a corpus of malformed files that it must refuse."""

from __future__ import annotations

import hashlib
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.bundles import gguf
from appliance.bundles.gguf import Facts, inspect
from appliance.bundles.refusals import UnsafeModelError
from tests.simulators.tiny_gguf import write_tiny_gguf

U8, U32, F32, BOOL, STRING, ARRAY, U64 = 0, 4, 6, 7, 8, 9, 10


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def entry(key: str | bytes, kind: int, data: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + data


def strings(*items: str) -> bytes:
    return struct.pack("<IQ", STRING, len(items)) + b"".join(map(text, items))


NEEDED = {
    "general.architecture": entry("general.architecture", STRING, text("llama")),
    "llama.context_length": entry("llama.context_length", U32, struct.pack("<I", 64)),
    "llama.block_count": entry("llama.block_count", U32, struct.pack("<I", 1)),
    "tokenizer.chat_template": entry("tokenizer.chat_template", STRING, text("{{ x }}")),
    "tokenizer.ggml.tokens": entry("tokenizer.ggml.tokens", ARRAY, strings("a", "b")),
}


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", kind, offset)


def build(
    *extra: bytes,
    without: str = "",
    tensors: tuple[bytes, ...] = (tensor("w", (8,)),),
    data: int = 32,
    counts: tuple[int, int] | None = None,
    magic: bytes = b"GGUF",
    version: int = 3,
) -> bytes:
    """Return a small GGUF file with one thing changed."""
    values = [value for key, value in NEEDED.items() if key != without] + list(extra)
    tensor_count, value_count = counts or (len(tensors), len(values))
    head = magic + struct.pack("<IQQ", version, tensor_count, value_count)
    head += b"".join(values) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(data)


def look(data: bytes) -> Facts:
    return inspect(lambda offset, count: data[offset : offset + count], len(data))


HUGE = 2**40
MALFORMED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "claims 4 bytes"),
    "other magic": (build(magic=b"GGML"), "does not begin"),
    "big endian": (build(version=0x03000000), "version 50331648"),
    "version 2": (build(version=2), "version 2"),
    "cut in the counts": (build()[:20], "claims 8 bytes"),
    "cut in a value": (build()[:60], "claims"),
    "tensor bomb": (build(counts=(HUGE, 5)), "1099511627776 tensors"),
    "value bomb": (build(counts=(1, HUGE)), "1099511627776 values"),
    "negative count": (build(counts=(1, 2**64 - 1)), "values"),
    "one value too many": (build(counts=(1, 6)), "0 dimensions"),
    "one value too few": (build(counts=(1, 4)), "dimensions|tensor"),
    "key too long": (build(entry("k" * 300, U8, b"\0")), "bytes of a key"),
    "key length bomb": (build(struct.pack("<Q", 2**63)), "bytes of a key"),
    "empty key": (build(entry("", U8, b"\0")), "malformed"),
    "key with a zero": (build(entry("a\0b", U8, b"\0")), "malformed"),
    "key not utf-8": (build(entry(b"\xff\xfe", U8, b"\0")), "not UTF-8"),
    "duplicate key": (build(NEEDED["general.architecture"]), "appears twice"),
    "unknown type": (build(entry("k", 13, b"\0")), "unknown type 13"),
    "true is 2": (build(entry("k", BOOL, b"\x02")), "neither true nor false"),
    "string bomb": (build(entry("k", STRING, struct.pack("<Q", HUGE))), "bytes of k"),
    "string past the end": (build(entry("k", STRING, struct.pack("<Q", 4_000_000))), "remain"),
    "string not utf-8": (build(entry("k", STRING, text(b"\xc3\x28"))), "not UTF-8"),
    "array bomb": (build(entry("k", ARRAY, struct.pack("<IQ", U8, HUGE))), "items of k"),
    "array past the end": (build(entry("k", ARRAY, struct.pack("<IQ", U64, 99_999))), "remain"),
    "string array past the end": (
        build(entry("k", ARRAY, struct.pack("<IQ", STRING, 99_999))),
        "remain",
    ),
    "array of arrays": (
        build(entry("k", ARRAY, struct.pack("<IQIQ", ARRAY, 1, ARRAY, 1))),
        "not supported",
    ),
    "no architecture": (build(without="general.architecture"), "names no architecture"),
    "no template": (build(without="tokenizer.chat_template"), "no chat template"),
    "no vocabulary": (build(without="tokenizer.ggml.tokens"), "no vocabulary"),
    "no context length": (build(without="llama.context_length"), "llama.context_length"),
    "context length a float": (
        build(
            entry("llama.context_length", F32, struct.pack("<f", 64.0)),
            without="llama.context_length",
        ),
        "llama.context_length",
    ),
    "context length true": (
        build(entry("llama.context_length", BOOL, b"\x01"), without="llama.context_length"),
        "llama.context_length",
    ),
    "context length zero": (
        build(entry("llama.context_length", U32, bytes(4)), without="llama.context_length"),
        "llama.context_length",
    ),
    "alignment zero": (build(entry("general.alignment", U32, bytes(4))), "alignment"),
    "alignment odd": (
        build(entry("general.alignment", U32, struct.pack("<I", 33))),
        "alignment",
    ),
    "tensor name too long": (build(tensors=(tensor("n" * 64, (8,)),)), "tensor's name"),
    "tensor twice": (
        build(tensors=(tensor("w", (8,)), tensor("w", (8,), offset=32)), data=64),
        "appears twice",
    ),
    "no dimensions": (build(tensors=(tensor("w", ()),)), "0 dimensions"),
    "five dimensions": (build(tensors=(tensor("w", (1, 1, 1, 1, 8)),)), "5 dimensions"),
    "overflowing shape": (build(tensors=(tensor("w", (2**32, 2**32)),)), "does not fit"),
    "shape wraps to zero": (build(tensors=(tensor("w", (2**63, 2)),)), "does not fit"),
    "empty tensor": (build(tensors=(tensor("w", (0, 8)),)), "does not fit"),
    "half a block": (build(tensors=(tensor("w", (8,), kind=8),)), "does not fit"),
    "removed type": (build(tensors=(tensor("w", (8,), kind=4),)), "unknown type 4"),
    "unknown tensor type": (build(tensors=(tensor("w", (8,), kind=999),)), "unknown type"),
    "offset past the end": (build(tensors=(tensor("w", (8,), offset=64),)), "does not follow"),
    "offset wraps": (build(tensors=(tensor("w", (8,), offset=2**64 - 32),)), "does not follow"),
    "overlap": (
        build(tensors=(tensor("w", (8,)), tensor("v", (8,), offset=0)), data=64),
        "does not follow",
    ),
    "gap": (
        build(tensors=(tensor("w", (8,)), tensor("v", (8,), offset=64)), data=96),
        "does not follow",
    ),
    "data missing": (build(data=16), "the file has 16"),
    "tail": (build(data=64), "the file has 64"),
}


def test_small_file_is_understood() -> None:
    """A well-formed file gives its architecture, context length, vocabulary and size."""
    facts = look(build())
    assert (facts.architecture, facts.context_tokens, facts.vocabulary) == ("llama", 64, 2)
    assert (facts.layers, facts.tensors, facts.parameters) == (1, 1, 8)


def test_template_is_hashed_as_it_stands() -> None:
    """The chat template's digest is that of its exact UTF-8 bytes."""
    assert look(build()).chat_template_sha256 == hashlib.sha256(b"{{ x }}").hexdigest()


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
    assert sum(asked) <= 4 * gguf.WINDOW
