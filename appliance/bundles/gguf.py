"""A reader of GGUF headers that believes nothing: every count and length is checked before use.

A valid signature does not make a file safe to parse (CVE-2024-34359, CVE-2025-53630), so this
runs before llama.cpp ever sees the bytes, and in a process of its own (`inspection`). It accepts
less than the format allows: version 3, little-endian, no nested arrays, tensors one after the
other without gaps, overlaps or a tail.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Pure, and free of anything
outside the standard library. Not here: tensor contents, and whether a template is harmless.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from appliance.bundles.refusals import UnsafeModelError

Read = Callable[[int, int], bytes]
"""`read(offset, count)` returns up to `count` bytes at `offset`, as `os.pread` does."""

MAGIC = b"GGUF"
VERSION = 3
MAX_VALUES = 4_096
MAX_TENSORS = 65_536
MAX_KEY_BYTES = 256
MAX_TENSOR_NAME_BYTES = 63
MAX_STRING_BYTES = 4_194_304
MAX_ARRAY_ITEMS = 4_194_304
MAX_HEADER_BYTES = 268_435_456
MAX_DIMENSIONS = 4
MAX_CONTEXT = 2**27
WINDOW = 1_048_576

KEY = re.compile(r"[A-Za-z0-9_.\-]+")
STRING, ARRAY = 8, 9
# Scalar types by number: how struct reads them (gguf_metadata_value_type).
SCALARS: Mapping[int, str] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i",
    6: "<f", 7: "<B", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
INTEGERS = frozenset({0, 1, 2, 3, 4, 5, 10, 11})
# Tensor types by number: elements and bytes of a block (ggml_blck_size, ggml_type_size).
BLOCKS: Mapping[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176),
    14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98),
    19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18), 42: (64, 18),
}  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What the header says of the model; `parameters` counts the elements of all tensors."""

    architecture: str
    chat_template_sha256: str
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
    cursor = _Cursor(read, size)
    if cursor.take(4) != MAGIC:
        raise UnsafeModelError("the file does not begin as a GGUF file does")
    version = cursor.number("<I")
    if version != VERSION:
        raise UnsafeModelError(f"GGUF version {version} is not supported, only {VERSION}")
    tensors = cursor.count("tensors", MAX_TENSORS)
    values = _values(cursor, cursor.count("values", MAX_VALUES))
    parameters = _tensors(cursor, tensors, _alignment(values), size)
    return _facts(values, tensors, parameters)


class _Cursor:
    """Reads forward; never past the end of the file or of the largest header."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._end = min(size, MAX_HEADER_BYTES)
        self._window = b""
        self._window_start = 0
        self.position = 0

    @property
    def remaining(self) -> int:
        return self._end - self.position

    def take(self, count: int) -> bytes:
        self.require(count)
        start = self.position - self._window_start
        if start + count > len(self._window):
            self._window = self._read(self.position, max(count, min(WINDOW, self.remaining)))
            self._window_start, start = self.position, 0
            if len(self._window) < count:
                raise UnsafeModelError("the header ends early")
        self.position += count
        return self._window[start : start + count]

    def skip(self, count: int) -> None:
        self.require(count)
        self.position += count
        self._window, self._window_start = b"", self.position

    def require(self, count: int) -> None:
        if not 0 <= count <= self.remaining:
            raise UnsafeModelError(f"the header claims {count} bytes where {self.remaining} remain")

    def number(self, layout: str) -> int:
        value: int = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value

    def count(self, what: str, limit: int) -> int:
        value = self.number("<Q")
        if value > limit:
            raise UnsafeModelError(f"the header claims {value} {what}, more than {limit}")
        return value

    def text(self, what: str, limit: int) -> str:
        data = self.take(self.count(f"bytes of {what}", limit))
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnsafeModelError(f"{what} is not UTF-8") from error


def _values(cursor: _Cursor, count: int) -> dict[str, _Value]:
    values: dict[str, _Value] = {}
    for _ in range(count):
        key = cursor.text("a key", MAX_KEY_BYTES)
        if KEY.fullmatch(key) is None:
            raise UnsafeModelError(f"the key {key!r} is malformed")
        if key in values:
            raise UnsafeModelError(f"the key {key} appears twice")
        values[key] = _value(cursor, cursor.number("<I"), key)
    return values


def _value(cursor: _Cursor, kind: int, key: str) -> _Value:
    if kind == STRING:
        return cursor.text(key, MAX_STRING_BYTES)
    if kind == ARRAY:
        return _array(cursor, key)
    if kind not in SCALARS:
        raise UnsafeModelError(f"{key} has the unknown type {kind}")
    value = cursor.number(SCALARS[kind])
    if kind == 7 and value > 1:
        raise UnsafeModelError(f"{key} is neither true nor false")
    # A float must not pass where a whole number is expected, nor true as 1.
    return value if kind in INTEGERS else float(value)


def _array(cursor: _Cursor, key: str) -> _Array:
    kind = cursor.number("<I")
    count = cursor.count(f"items of {key}", MAX_ARRAY_ITEMS)
    if kind == STRING:
        # Each string takes at least its length: checked first, so that a claim costs nothing.
        cursor.require(8 * count)
        for _ in range(count):
            cursor.take(cursor.count(f"bytes of an item of {key}", MAX_STRING_BYTES))
    elif kind in SCALARS:
        cursor.skip(count * struct.calcsize(SCALARS[kind]))
    else:
        raise UnsafeModelError(f"{key} is an array of type {kind}, which is not supported")
    return _Array(kind, count)


def _tensors(cursor: _Cursor, count: int, alignment: int, size: int) -> int:
    """Check every tensor's place; return the number of elements of all."""
    names: set[str] = set()
    parameters = expected = end = 0
    for _ in range(count):
        name = cursor.text("a tensor's name", MAX_TENSOR_NAME_BYTES)
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


def _extent(cursor: _Cursor, name: str, size: int) -> tuple[int, int]:
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
        raise UnsafeModelError(f"the alignment {value} is not a power of two from 8 to 4096")
    return value


def _facts(values: Mapping[str, _Value], tensors: int, parameters: int) -> Facts:
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise UnsafeModelError("the header names no architecture")
    template = values.get("tokenizer.chat_template")
    if not isinstance(template, str) or not template:
        raise UnsafeModelError("the header holds no chat template")
    vocabulary = values.get("tokenizer.ggml.tokens")
    if not isinstance(vocabulary, _Array) or vocabulary.kind != STRING or not vocabulary.count:
        raise UnsafeModelError("the header holds no vocabulary")
    return Facts(
        architecture=architecture,
        chat_template_sha256=hashlib.sha256(template.encode()).hexdigest(),
        context_tokens=_whole(values, f"{architecture}.context_length", 1, MAX_CONTEXT),
        vocabulary=vocabulary.count,
        layers=_whole(values, f"{architecture}.block_count", 1, 65_536),
        parameters=parameters,
        tensors=tensors,
    )


def _whole(values: Mapping[str, _Value], key: str, low: int, high: int) -> int:
    value = values.get(key)
    if not isinstance(value, int) or not low <= value <= high:
        raise UnsafeModelError(f"{key} is missing, or not a whole number from {low} to {high}")
    return value
