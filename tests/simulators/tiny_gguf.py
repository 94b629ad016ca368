"""Writes a llama-architecture GGUF of random weights that real llama.cpp loads: a test model.

Deterministic for a seed, under 300 KB, byte-level fallback, so any text goes in. It speaks
nonsense; what counts is that tokens, turns and limits behave as with a real model. By default it
never ends an answer by itself, so that a test decides the length with `max_tokens`.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3.
"""

from __future__ import annotations

import array
import hashlib
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

WIDTH, HEADS, FEED_FORWARD, LAYERS = 32, 2, 64, 1
ALIGNMENT = 32
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
SPECIALS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
USER_DEFINED_TURN = "<turn>"
WORDS = ("the", "patient", "rests", "well", "and", "eats", "café", "naïve", "☤", "نعم", "🙂")
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

Value = int | float | bool | str | Sequence[str] | Sequence[int] | Sequence[float]


def write_tiny_gguf(
    path: Path,
    seed: int = 0,
    *,
    context: int = 512,
    ends_at_once: bool = False,
    byte_tokens: bool = True,
    template: str | None = TEMPLATE,
) -> str:
    """Write the model to `path` and return the SHA-256 of the file in hex."""
    tokens, kinds = _vocabulary(byte_tokens)
    metadata = _metadata(tokens, kinds, context, template)
    data = _file(metadata, _tensors(seed, tokens, ends_at_once))
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def write_tiny_bpe(path: Path, pre: str, *, context: int = 131_072) -> str:
    """Write a model whose vocabulary has a token for each byte and splits texts as `pre` says."""
    tokens, kinds = [*SPECIALS, *_byte_letters()], [CONTROL] * len(SPECIALS) + [NORMAL] * 256
    metadata = _metadata(tokens, kinds, context, TEMPLATE)
    metadata |= {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
    }
    data = _file(metadata, _tensors(0, tokens, ends_at_once=False))
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _byte_letters() -> list[str]:
    """Return the letter that stands for each byte in such vocabularies: its own, or one far up."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    beyond = iter(range(0x100, 0x200))
    return [chr(byte if byte in plain else next(beyond)) for byte in range(256)]


def _vocabulary(byte_tokens: bool) -> tuple[list[str], list[int]]:
    tokens, kinds = ["<unk>", "<s>", "</s>"], [UNKNOWN, CONTROL, CONTROL]
    if byte_tokens:
        tokens += [f"<0x{value:02X}>" for value in range(256)]
        kinds += [BYTE] * 256
    tokens += [*SPECIALS, USER_DEFINED_TURN]
    kinds += [CONTROL] * len(SPECIALS) + [USER_DEFINED]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = ["\u2581", *letters, *(f"\u2581{word}" for word in WORDS)]
    return tokens + pieces, kinds + [NORMAL] * len(pieces)


def _metadata(
    tokens: list[str], kinds: list[int], context: int, template: str | None
) -> dict[str, Value]:
    values: dict[str, Value] = {
        "general.architecture": "llama",
        "general.name": "tiny random test model",
        "llama.context_length": context,
        "llama.embedding_length": WIDTH,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": FEED_FORWARD,
        "llama.attention.head_count": HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-float(index) for index in range(len(tokens))],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": tokens.index("<|end|>"),
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
    }
    if template is not None:
        values["tokenizer.chat_template"] = template
    return values


def _tensors(
    seed: int, tokens: list[str], ends_at_once: bool
) -> list[tuple[str, tuple[int, ...], array.array[float]]]:
    """Random matrices; dimension 0 of every hidden state is large, so that an output row can be
    made to win or lose whatever the input."""
    square, wide = (WIDTH, WIDTH), (WIDTH, FEED_FORWARD)
    shapes = {
        "token_embd.weight": (WIDTH, len(tokens)),
        "blk.0.attn_norm.weight": (WIDTH,),
        **{f"blk.0.attn_{name}.weight": square for name in ("q", "k", "v", "output")},
        "blk.0.ffn_norm.weight": (WIDTH,),
        "blk.0.ffn_gate.weight": wide,
        "blk.0.ffn_up.weight": wide,
        "blk.0.ffn_down.weight": (FEED_FORWARD, WIDTH),
        "output_norm.weight": (WIDTH,),
        "output.weight": (WIDTH, len(tokens)),
    }
    tensors = [(name, shape, _random(f"{seed}/{name}", shape)) for name, shape in shapes.items()]
    values = {name: data for name, _, data in tensors}
    for index, token in enumerate(tokens):
        values["token_embd.weight"][index * WIDTH] = 8.0
        values["output.weight"][index * WIDTH] = _bias(token, ends_at_once)
    return tensors


def _bias(token: str, ends_at_once: bool) -> float:
    if token == "<|end|>":
        return 40.0 if ends_at_once else -40.0
    if token in SPECIALS or token in ("<unk>", "<s>", "</s>", USER_DEFINED_TURN):
        return -40.0
    return 0.5 if token.startswith("\u2581") and len(token) > 1 else 0.0


def _random(label: str, shape: tuple[int, ...]) -> array.array[float]:
    """Uniform from SHAKE-256 of the label; ones for a norm.

    The layer's matrices are small, so that it cannot outshout the embedding of the last token.
    """
    count = 1
    for size in shape:
        count *= size
    if len(shape) == 1:
        return array.array("f", [1.0] * count)
    largest = 0.05 if "/blk." in label else 1.0
    stream = hashlib.shake_256(label.encode()).digest(2 * count)
    numbers = (value / 32_768 - 1 for (value,) in struct.iter_unpack("<H", stream))
    return array.array("f", (largest * number for number in numbers))


def _file(
    metadata: Mapping[str, Value],
    tensors: list[tuple[str, tuple[int, ...], array.array[float]]],
) -> bytes:
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
    for key, value in metadata.items():
        head += _text(key) + _typed(value)
    body = bytearray()
    for name, shape, data in tensors:
        head += _text(name) + struct.pack("<I", len(shape))
        head += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", 0, len(body))
        body += _padded(data.tobytes())
    return bytes(_padded(head) + body)


def _typed(value: Value) -> bytes:
    kind, data = _scalar(value) if isinstance(value, str | int | float) else (ARRAY, b"")
    if kind != ARRAY:
        return struct.pack("<I", kind) + data
    items = [_scalar(item) for item in value]  # type: ignore[union-attr]
    # llama.cpp reads token types as signed numbers.
    inner = INT32 if items[0][0] == UINT32 else items[0][0]
    head = struct.pack("<IIQ", ARRAY, inner, len(items))
    return head + b"".join(item for _, item in items)


def _scalar(value: str | float | bool) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return UINT32, struct.pack("<I", value)
    if isinstance(value, float):
        return FLOAT32, struct.pack("<f", value)
    return STRING, _text(value)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(data: bytes | bytearray) -> bytearray:
    return bytearray(data) + bytes(-len(data) % ALIGNMENT)
