"""Writes the model that servers are compared with: 254 million random weights in Q8_0.

As large in every respect that costs time as a small trained model (llama architecture, vocabulary
of 32,000, grouped keys, context of 8,192), and nonsense in what it says. Deterministic for a seed.
Made for measuring:
- an answer never ends by itself, and holds neither control nor byte tokens: each token is a piece
  of text that a server can send at once, and every server writes as many as it was asked for;
- ` ` with three letters of `words()` is one token in every tokenizer that reads the file, so a
  prompt's length is known beforehand.
"""

from __future__ import annotations

import hashlib
import itertools
import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.simulators import large_gguf, tiny_gguf
from tests.simulators.large_gguf import BLOCK, BLOCK_BYTES, MOSTLY_Q8_0, Shape
from tests.simulators.tiny_gguf import BYTE, CONTROL, NORMAL, SPECIALS, UNKNOWN, Value

VOCABULARY, CONTEXT = 32_000, 8_192
WIDTH, LAYERS, HEADS, KEY_HEADS, FEED_FORWARD = 1024, 16, 16, 8, 2816
SPACE = "\u2581"
# Entries are whole numbers of a byte times this: about 1/sqrt(WIDTH) on the average.
SCALE = 4.2e-4
# What a layer adds stays small beside the embedding, whose first entry is large; so the first
# entry of an output row makes its token win or lose whatever was said before.
ADDED_SCALE = 6.2e-5
FIRST_ENTRY, NEVER = 8.0, -4.0

Bytes = NDArray[np.uint8]


def speed_model(folder: Path, seed: int = 0) -> tuple[Path, str]:
    """Return the model's file, written to `folder` unless it is there, and its SHA-256 in hex."""
    folder.mkdir(parents=True, exist_ok=True)
    written = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    path = folder / f"speed-{seed}-{written}.gguf"
    if not path.exists():
        draft = path.with_suffix(".draft")
        write_speed_model(draft, seed)
        draft.rename(path)
    with path.open("rb") as file:
        return path, hashlib.file_digest(file, "sha256").hexdigest()


def words() -> list[str]:
    """Return the words, three letters each, that are one token with the space before them."""
    tokens, _ = _vocabulary()
    return [token[1:] for token in tokens if token.startswith(SPACE) and len(token) == 4]


def write_speed_model(path: Path, seed: int = 0) -> None:
    """Write the model to `path`; takes about a second."""
    tokens, kinds = _vocabulary()
    with path.open("wb") as file:
        large_gguf._write_head(file, _metadata(tokens, kinds), _shapes())
        for data in _tensors(seed, kinds):
            file.write(data)


def _vocabulary() -> tuple[list[str], list[int]]:
    """Every string of up to three letters; with a space in front, as many as there is room for.

    A token's score falls with its number and the tokenizer joins the pair with the best one, so
    those with a space come first: a word is then put together from its left end.
    """
    specials = ["<unk>", "<s>", "</s>", *SPECIALS]
    single_bytes = [f"<0x{value:02X}>" for value in range(256)]
    letters = [
        ["".join(some) for some in itertools.product(string.ascii_lowercase, repeat=length)]
        for length in (1, 2, 3)
    ]
    plain = [*itertools.chain(*letters), *string.digits, *".,:;?!-\n"]
    room = VOCABULARY - len(specials) - len(single_bytes) - len(plain)
    spaced = [SPACE, *(SPACE + some for some in itertools.chain(*letters))][:room]
    kinds = [UNKNOWN] + [CONTROL] * (len(specials) - 1) + [BYTE] * 256
    texts = [*spaced, *plain]
    return [*specials, *single_bytes, *texts], kinds + [NORMAL] * len(texts)


def _metadata(tokens: list[str], kinds: list[int]) -> dict[str, Value]:
    values = tiny_gguf._metadata(tokens, kinds, CONTEXT, tiny_gguf.TEMPLATE)
    return values | {
        "general.name": "random weights for measuring",
        "general.file_type": MOSTLY_Q8_0,
        "llama.embedding_length": WIDTH,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": FEED_FORWARD,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KEY_HEADS,
        "llama.rope.dimension_count": WIDTH // HEADS,
    }


def _shapes() -> dict[str, Shape]:
    keys = WIDTH // HEADS * KEY_HEADS
    layer: dict[str, Shape] = {
        "attn_norm": (WIDTH,),
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (WIDTH, keys),
        "attn_v": (WIDTH, keys),
        "attn_output": (WIDTH, WIDTH),
        "ffn_norm": (WIDTH,),
        "ffn_gate": (WIDTH, FEED_FORWARD),
        "ffn_up": (WIDTH, FEED_FORWARD),
        "ffn_down": (FEED_FORWARD, WIDTH),
    }
    layers = {
        f"blk.{number}.{name}.weight": shape
        for number in range(LAYERS)
        for name, shape in layer.items()
    }
    ends: tuple[Shape, Shape] = (WIDTH, VOCABULARY), (WIDTH,)
    return {
        "token_embd.weight": ends[0],
        **layers,
        "output_norm.weight": ends[1],
        "output.weight": ends[0],
    }


def _tensors(seed: int, kinds: list[int]) -> Iterator[bytes]:
    random = np.random.default_rng(seed)
    for name, shape in _shapes().items():
        if len(shape) == 1:
            yield np.ones(shape, "<f4").tobytes()
            continue
        added = "attn_output" in name or "ffn_down" in name
        blocks = _random_blocks(random, shape, ADDED_SCALE if added else SCALE)
        if name == "token_embd.weight":
            _set_first_entries(blocks, np.full(VOCABULARY, FIRST_ENTRY))
        elif name == "output.weight":
            losing = np.array(kinds) != NORMAL
            _set_first_entries(blocks, np.where(losing, NEVER, 0.0))
        data = blocks.tobytes()
        yield data + bytes(large_gguf._padded(len(data)) - len(data))


def _random_blocks(random: np.random.Generator, shape: Shape, scale: float) -> Bytes:
    """Return a matrix as Q8_0: for each 32 entries their scale (float16), then a byte each."""
    count = large_gguf._blocks(shape)
    data = np.frombuffer(random.bytes(count * BLOCK_BYTES), np.uint8)
    blocks = data.reshape(count, BLOCK_BYTES).copy()
    blocks[:, :2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
    return blocks


def _set_first_entries(blocks: Bytes, values: NDArray[np.float64]) -> None:
    """Give each row of WIDTH entries its first one; the others of that block become zero."""
    first = blocks.reshape(len(values), WIDTH // BLOCK, BLOCK_BYTES)[:, 0]
    first[:, 2:] = 0
    first[:, 2] = np.sign(values).astype(np.int8).view(np.uint8)
    scales = np.maximum(np.abs(values), 1e-3).astype("<f2")
    first[:, :2] = scales.view(np.uint8).reshape(-1, 2)
