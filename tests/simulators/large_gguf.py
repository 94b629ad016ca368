"""Writes a GGUF of random weights, as large as asked for, that real llama.cpp loads and runs.

For measuring and for trying out sticks: it speaks nonsense, slowly, and is right in everything
else: header, quantised tensors (Q8_0), vocabulary and chat template of `tiny_gguf`, so any text
goes in. Deterministic for a size. Memory use is that of one tensor, about 12 MB.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from tests.simulators import tiny_gguf
from tests.simulators.tiny_gguf import Value

WIDTH, HEADS, KEY_HEADS, FEED_FORWARD, CONTEXT = 2048, 16, 4, 5632, 2048
F32, Q8_0 = 0, 8
BLOCK, BLOCK_BYTES = 32, 34
# Makes the entries of a matrix as large as those of a trained one: 1/sqrt(WIDTH) on the average.
SCALE = np.float16(3e-4).tobytes()
MOSTLY_Q8_0 = 7

Shape = tuple[int, ...]


def write_large_gguf(path: Path, at_least: int) -> int:
    """Write a model of `at_least` bytes or one layer more to `path`; return its size in bytes."""
    shapes = _shapes(1)
    layer = sum(_length(shape) for name, shape in shapes.items() if name.startswith("blk."))
    rest = sum(_length(shape) for shape in shapes.values()) - layer
    layers = max(1, -(-(at_least - rest) // layer))
    shapes = _shapes(layers)
    with path.open("wb") as file:
        _write_head(file, _metadata(layers), shapes)
        for data in _tensors(shapes):
            file.write(data)
    return path.stat().st_size


def _metadata(layers: int) -> dict[str, Value]:
    tokens, kinds = tiny_gguf._vocabulary(True)
    values = tiny_gguf._metadata(tokens, kinds, CONTEXT, tiny_gguf.TEMPLATE)
    return values | {
        "general.name": "large random test model",
        "general.file_type": MOSTLY_Q8_0,
        "llama.embedding_length": WIDTH,
        "llama.block_count": layers,
        "llama.feed_forward_length": FEED_FORWARD,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KEY_HEADS,
        "llama.rope.dimension_count": WIDTH // HEADS,
    }


def _shapes(layers: int) -> dict[str, Shape]:
    vocabulary = len(tiny_gguf._vocabulary(True)[0])
    keys = WIDTH // HEADS * KEY_HEADS
    shapes: dict[str, Shape] = {"token_embd.weight": (WIDTH, vocabulary)}
    for number in range(layers):
        block = f"blk.{number}"
        shapes |= {
            f"{block}.attn_norm.weight": (WIDTH,),
            f"{block}.attn_q.weight": (WIDTH, WIDTH),
            f"{block}.attn_k.weight": (WIDTH, keys),
            f"{block}.attn_v.weight": (WIDTH, keys),
            f"{block}.attn_output.weight": (WIDTH, WIDTH),
            f"{block}.ffn_norm.weight": (WIDTH,),
            f"{block}.ffn_gate.weight": (WIDTH, FEED_FORWARD),
            f"{block}.ffn_up.weight": (WIDTH, FEED_FORWARD),
            f"{block}.ffn_down.weight": (FEED_FORWARD, WIDTH),
        }
    return shapes | {"output_norm.weight": (WIDTH,), "output.weight": (WIDTH, vocabulary)}


def _length(shape: Shape) -> int:
    return _padded(4 * shape[0] if len(shape) == 1 else _blocks(shape) * BLOCK_BYTES)


def _blocks(shape: Shape) -> int:
    return int(np.prod(shape)) // BLOCK


def _padded(length: int) -> int:
    return -(-length // tiny_gguf.ALIGNMENT) * tiny_gguf.ALIGNMENT


def _write_head(file: IO[bytes], metadata: dict[str, Value], shapes: dict[str, Shape]) -> None:
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata)))
    for key, value in metadata.items():
        head += tiny_gguf._text(key) + tiny_gguf._typed(value)
    offset = 0
    for name, shape in shapes.items():
        kind = F32 if len(shape) == 1 else Q8_0
        head += tiny_gguf._text(name) + struct.pack("<I", len(shape))
        head += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", kind, offset)
        offset += _length(shape)
    file.write(tiny_gguf._padded(head))


def _tensors(shapes: dict[str, Shape]) -> Iterator[bytes]:
    random = np.random.default_rng(0)
    for shape in shapes.values():
        if len(shape) == 1:
            yield np.ones(shape, "<f4").tobytes()
            continue
        blocks = random.integers(0, 256, (_blocks(shape), BLOCK_BYTES), np.uint8)
        blocks[:, :2] = np.frombuffer(SCALE, np.uint8)
        data = blocks.tobytes()
        yield data + bytes(_padded(len(data)) - len(data))
