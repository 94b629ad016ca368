"""Small GGUF files made by hand: one good one, and a corpus where each has one thing wrong.

The corpus is the regression set of the header reader and the seed of its fuzzing. Each file has
a name and the words (a regular expression) with which it must be refused. Deterministic.
"""

from __future__ import annotations

import struct

U8, U16, U32, I32, F32, BOOL, STRING, ARRAY, U64, F64 = 0, 2, 4, 5, 6, 7, 8, 9, 10, 12


def text(value: str | bytes) -> bytes:
    """Return a GGUF string."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def entry(key: str | bytes, kind: int, data: bytes) -> bytes:
    """Return a key, the number of a type, and a value."""
    return text(key) + struct.pack("<I", kind) + data


def strings(*items: str) -> bytes:
    """Return an array of strings."""
    return struct.pack("<IQ", STRING, len(items)) + b"".join(map(text, items))


NEEDED = {
    "general.architecture": entry("general.architecture", STRING, text("llama")),
    "llama.context_length": entry("llama.context_length", U32, struct.pack("<I", 64)),
    "llama.block_count": entry("llama.block_count", U32, struct.pack("<I", 1)),
    "tokenizer.chat_template": entry("tokenizer.chat_template", STRING, text("{{ x }}")),
    "tokenizer.ggml.tokens": entry("tokenizer.ggml.tokens", ARRAY, strings("a", "b")),
}


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    """Return the description of a tensor; `kind` 0 is F32."""
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


def template(kind: int, data: bytes) -> bytes:
    """Return a small GGUF file with another chat template."""
    return build(entry("tokenizer.chat_template", kind, data), without="tokenizer.chat_template")


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
    "one value too many": (build(counts=(1, 6)), "tensor name '' is malformed"),
    "one value too few": (build(counts=(1, 4)), "dimensions|tensor"),
    "key too long": (build(entry("k" * 300, U8, b"\0")), "bytes of a key"),
    "key length bomb": (build(struct.pack("<Q", 2**63)), "bytes of a key"),
    "empty key": (build(entry("", U8, b"\0")), "malformed"),
    "key with a zero": (build(entry("a\0b", U8, b"\0")), "malformed"),
    "key of control characters": (build(entry("\x01" * 256, U8, b"\0")), r"^.{,300}malformed$"),
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
    "no tensors": (build(tensors=(), data=0), "no tensors"),
    "tensor name with a zero": (build(tensors=(tensor("w\0v", (8,)),)), "is malformed"),
    "architecture with spaces": (
        build(
            entry("general.architecture", STRING, text("my model")),
            without="general.architecture",
        ),
        "is malformed",
    ),
    "architecture that steers a terminal": (
        build(
            entry("general.architecture", STRING, text("\x1b]0;x\x07")),
            without="general.architecture",
        ),
        "is malformed",
    ),
    "adapter": (
        build(entry("general.type", STRING, text("adapter"))),
        "of the type 'adapter', not a model",
    ),
    "first of three parts": (
        build(entry("split.count", U16, struct.pack("<H", 3))),
        "one part of a model that was split",
    ),
    "second part": (
        build(entry("split.no", U16, struct.pack("<H", 1))),
        "one part of a model that was split",
    ),
    "parts as a text": (
        build(entry("split.count", STRING, text("3"))),
        "one part of a model that was split",
    ),
    "true in an array is 2": (
        build(entry("k", ARRAY, struct.pack("<IQ", BOOL, 3) + b"\0\x01\x02")),
        "neither true nor false",
    ),
    "flags past the end": (
        build(entry("k", ARRAY, struct.pack("<IQ", BOOL, 99_999) + b"\0")),
        "remain",
    ),
    "item past the end": (
        build(entry("k", ARRAY, struct.pack("<IQQ", STRING, 1, 99_999))),
        "remain",
    ),
    "item length bomb": (
        build(entry("k", ARRAY, struct.pack("<IQQ", STRING, 1, HUGE))),
        "1099511627776 bytes of an item of k",
    ),
    "vocabulary of numbers": (
        build(
            entry("tokenizer.ggml.tokens", ARRAY, struct.pack("<IQI", U32, 1, 7)),
            without="tokenizer.ggml.tokens",
        ),
        "no vocabulary",
    ),
    "vocabulary without tokens": (
        build(
            entry("tokenizer.ggml.tokens", ARRAY, strings()),
            without="tokenizer.ggml.tokens",
        ),
        "no vocabulary",
    ),
    "template a number": (template(U32, bytes(4)), "template is not a text"),
    "template a list": (template(ARRAY, strings("a", "b")), "template is not a text"),
    "template with a zero": (
        template(STRING, text("{{ x }}\0{{ y }}")),
        r"hidden character U\+0000",
    ),
    "template that turns lines round": (
        template(STRING, text("{# \u202e #}")),
        r"hidden character U\+202E",
    ),
    "template too large": (template(STRING, text("x" * 262_145)), "larger than 262144"),
}
