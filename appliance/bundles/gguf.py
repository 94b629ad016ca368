"""A reader of GGUF headers that believes nothing: every count and length is checked before use.

A valid signature does not make a file safe to parse (CVE-2024-34359, CVE-2025-53630), so this
runs before llama.cpp ever sees the bytes, and in a process of its own (`inspection`). It accepts
less than the format allows: version 3, little-endian, no nested arrays, tensors one after the
other without gaps, overlaps or a tail.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Pure, and free of anything
outside the standard library. Not here: tensor contents.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.bundles import chat_template
from appliance.bundles.gguf_cursor import MAX_STRING_BYTES, Cursor, Read
from appliance.bundles.gguf_types import (
    ARRAY,
    BLOCKS,
    BOOL,
    FILE_TYPES,
    INTEGERS,
    MAGIC,
    SCALARS,
    STRING,
    VERSION,
)
from appliance.bundles.refusals import UnsafeModelError

MAX_VALUES = 4_096
MAX_TENSORS = 65_536
MAX_KEY_BYTES = 256
MAX_TENSOR_NAME_BYTES = 63
# A vocabulary of 262,144 tokens (Gemma) and its 514,906 merges fit many times over.
MAX_ARRAY_ITEMS = 4_194_304
MAX_DIMENSIONS = 4
MAX_CONTEXT = 2**27
MAX_LAYERS = 65_536

KEY = re.compile(r"[A-Za-z0-9_.\-]+")
ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,63}")


@dataclass(frozen=True)
class Facts:
    """What the header says of the model; `parameters` counts the elements of all tensors.

    `chat_template` is the text of the file's own, its digest in hex beside it; both are "" when
    the file has none. `quantisation` is a name such as "Q8_0", "" when the file does not say.
    """

    architecture: str
    chat_template: str
    chat_template_sha256: str
    quantisation: str
    context_tokens: int
    vocabulary: int
    layers: int
    parameters: int
    tensors: int


@dataclass(frozen=True)
class _Array:
    """Only the type and size of an array is kept; no key of use to us holds its items."""

    kind: int
    count: int


_Value = str | int | float | _Array


def inspect(read: Read, size: int) -> Facts:
    """Check the whole header of a file of `size` bytes; raise UnsafeModelError.

    1. magic, version, counts within bounds; 2. every key once, every value inside the file;
    3. every tensor inside the file, in order, of a known type; 4. the keys we rely on.
    """
    cursor = Cursor(read, size)
    if cursor.take(4) != MAGIC:
        raise UnsafeModelError("the file does not begin as a GGUF file does")
    version = cursor.number("<I")
    if version != VERSION:
        raise UnsafeModelError(f"GGUF version {version} is not supported, only {VERSION}")
    tensors = cursor.count("tensors", MAX_TENSORS)
    values = _values(cursor, cursor.count("values", MAX_VALUES))
    parameters = _tensors(cursor, tensors, _alignment(values), size)
    return _facts(values, tensors, parameters)


def _values(cursor: Cursor, count: int) -> dict[str, _Value]:
    values: dict[str, _Value] = {}
    for _ in range(count):
        key = cursor.text("a key", MAX_KEY_BYTES)
        if KEY.fullmatch(key) is None:
            raise UnsafeModelError(f"the key {key[:64]!r} is malformed")
        if key in values:
            raise UnsafeModelError(f"the key {key} appears twice")
        values[key] = _value(cursor, cursor.number("<I"), key)
    return values


def _value(cursor: Cursor, kind: int, key: str) -> _Value:
    if kind == STRING:
        return cursor.text(key, MAX_STRING_BYTES)
    if kind == ARRAY:
        return _array(cursor, key)
    if kind not in SCALARS:
        raise UnsafeModelError(f"{key} has the unknown type {kind}")
    value = cursor.number(SCALARS[kind])
    if kind == BOOL and value > 1:
        raise UnsafeModelError(f"{key} is neither true nor false")
    # A float must not pass where a whole number is expected, nor true as 1.
    return value if kind in INTEGERS else float(value)


def _array(cursor: Cursor, key: str) -> _Array:
    kind = cursor.number("<I")
    count = cursor.count(f"items of {key}", MAX_ARRAY_ITEMS)
    if kind == STRING:
        cursor.skip_strings(count, f"bytes of an item of {key}")
    elif kind == BOOL:
        if max(cursor.take(count), default=0) > 1:
            raise UnsafeModelError(f"{key} holds items that are neither true nor false")
    elif kind in SCALARS:
        cursor.skip(count * struct.calcsize(SCALARS[kind]))
    else:
        raise UnsafeModelError(f"{key} is an array of type {kind}, which is not supported")
    return _Array(kind, count)


def _tensors(cursor: Cursor, count: int, alignment: int, size: int) -> int:
    """Check every tensor's place; return the number of elements of all."""
    if count == 0:
        raise UnsafeModelError("the file holds no tensors")
    names: set[str] = set()
    parameters = expected = end = 0
    for _ in range(count):
        name = cursor.text("a tensor's name", MAX_TENSOR_NAME_BYTES)
        if not name.isprintable() or not name:
            raise UnsafeModelError(f"the tensor name {name!r} is malformed")
        if name in names:
            raise UnsafeModelError(f"the tensor {name!r} appears twice")
        names.add(name)
        elements, length = _extent(cursor, name, size)
        if cursor.number("<Q") != expected:
            raise UnsafeModelError(f"the tensor {name!r} does not follow the one before it")
        end = expected + length
        expected = _padded(end, alignment)
        parameters += elements
    # The last tensor may or may not be padded; nothing may come after it.
    data = size - _padded(cursor.position, alignment)
    if not end <= data <= expected:
        raise UnsafeModelError(f"the tensors take {end} bytes, and the file has {data} for them")
    return parameters


def _extent(cursor: Cursor, name: str, size: int) -> tuple[int, int]:
    """Return a tensor's number of elements and of bytes; Python's integers do not overflow."""
    dimensions = cursor.number("<I")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise UnsafeModelError(f"the tensor {name!r} has {dimensions} dimensions")
    shape = [cursor.number("<Q") for _ in range(dimensions)]
    kind = cursor.number("<I")
    if kind not in BLOCKS:
        raise UnsafeModelError(f"the tensor {name!r} has the unknown type {kind}")
    block, block_bytes = BLOCKS[kind]
    elements = 1
    for length in shape:
        elements *= length
    if elements == 0 or shape[0] % block or elements // block * block_bytes > size:
        raise UnsafeModelError(f"the tensor {name!r} of shape {shape} does not fit the file")
    return elements, elements // block * block_bytes


def _padded(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def _alignment(values: Mapping[str, _Value]) -> int:
    value = values.get("general.alignment", 32)
    if not isinstance(value, int) or value not in {8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096}:
        raise UnsafeModelError("the alignment is not a power of two from 8 to 4096")
    return value


def _facts(values: Mapping[str, _Value], tensors: int, parameters: int) -> Facts:
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise UnsafeModelError("the header names no architecture")
    if ARCHITECTURE.fullmatch(architecture) is None:
        raise UnsafeModelError(f"the architecture {architecture[:64]!r} is malformed")
    _check_whole_model(values)
    template = _template(values)
    vocabulary = values.get("tokenizer.ggml.tokens")
    if not isinstance(vocabulary, _Array) or vocabulary.kind != STRING or not vocabulary.count:
        raise UnsafeModelError("the header holds no vocabulary")
    file_type = values.get("general.file_type")
    return Facts(
        architecture=architecture,
        chat_template=template,
        chat_template_sha256=chat_template.digest(template),
        quantisation=FILE_TYPES.get(file_type, "") if isinstance(file_type, int) else "",
        context_tokens=_whole(values, f"{architecture}.context_length", 1, MAX_CONTEXT),
        vocabulary=vocabulary.count,
        layers=_whole(values, f"{architecture}.block_count", 1, MAX_LAYERS),
        parameters=parameters,
        tensors=tensors,
    )


def _check_whole_model(values: Mapping[str, _Value]) -> None:
    kind = values.get("general.type", "model")
    if kind != "model":
        raise UnsafeModelError(f"the file is of the type {str(kind)[:64]!r}, not a model")
    # llama.cpp would open the further parts by names that it makes up from this file's name.
    if values.get("split.count", 0) not in (0, 1) or values.get("split.no", 0) != 0:
        raise UnsafeModelError(
            "the file is one part of a model that was split; its publisher must join the parts "
            "first, with llama-gguf-split --merge"
        )


def _template(values: Mapping[str, _Value]) -> str:
    template = values.get("tokenizer.chat_template", "")
    if not isinstance(template, str):
        raise UnsafeModelError("the chat template is not a text")
    chat_template.check(template)
    return template


def _whole(values: Mapping[str, _Value], key: str, low: int, high: int) -> int:
    value = values.get(key)
    if not isinstance(value, int) or not low <= value <= high:
        raise UnsafeModelError(f"{key} is missing, or not a whole number from {low} to {high}")
    return value
