"""What the header of a weights file says of its size and shape, before anything is loaded.

Guarantee: only `VerifiedWeights` are read, with ggml's own reader, and no tensor is touched.
Takes as long as reading the vocabulary, well under a second. Not here: the checks that a file
goes through when it is imported.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from appliance.errors import EngineUnavailableError
from appliance.llama import log
from appliance.llama.library_view import VerifiedWeights
from appliance.llama.placing.ggml import function
from appliance.llama.placing.memory import FLOAT_BYTES, Layer, ModelFacts

# gguf.h: enum gguf_type. Its getters abort the process when asked for another type.
ARRAY = 9
STRING = 8
NUMBERS: dict[int, Any] = {
    0: ctypes.c_uint8,
    1: ctypes.c_int8,
    2: ctypes.c_uint16,
    3: ctypes.c_int16,
    4: ctypes.c_uint32,
    5: ctypes.c_int32,
    10: ctypes.c_uint64,
    11: ctypes.c_int64,
}


class _Parameters(ctypes.Structure):
    """gguf.h: struct gguf_init_params."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))


# gguf.h
_open = function("gguf_init_from_file", ctypes.c_void_p, ctypes.c_char_p, _Parameters)
_free = function("gguf_free", None, ctypes.c_void_p)
_find_key = function("gguf_find_key", ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p)
_kind = function("gguf_get_kv_type", ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
_item_kind = function("gguf_get_arr_type", ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
_count = function("gguf_get_arr_n", ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int64)
_items = function("gguf_get_arr_data", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_data = function("gguf_get_val_data", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_text = function("gguf_get_val_str", ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int64)
_tensors = function("gguf_get_n_tensors", ctypes.c_int64, ctypes.c_void_p)
_name = function("gguf_get_tensor_name", ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int64)
_size = function("gguf_get_tensor_size", ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int64)


def read_facts(source: VerifiedWeights) -> ModelFacts:
    """Return size and shape; raise EngineUnavailableError when the header makes no sense."""
    log.start_backend()
    with _opened(source) as header:
        sizes = header.sizes()
        layers = header.number("block_count", 0)
        width, heads = (
            header.number("embedding_length", 0),
            header.number("attention.head_count", 1),
        )
        if not 0 < layers <= len(sizes) or not width or not heads:
            raise EngineUnavailableError("the header of the weights does not state their shape")
        key_size = header.number("attention.key_length", width // heads)
        value_size = header.number("attention.value_length", width // heads)
        output = sizes.get("output.weight", 0)
        return ModelFacts(
            training_context=header.number("context_length", 0),
            layers=_layers(header, sizes, layers, (key_size, value_size)),
            total_bytes=sum(sizes.values()),
            output_bytes=output or sizes.get("token_embd.weight", 0),
            tied=not output,
            vocabulary=header.length("tokenizer.ggml.tokens"),
            width=width,
            feed_forward=header.widest_feed_forward(),
            heads=heads,
            head_sizes=(key_size, value_size),
            state_bytes=layers * header.state_numbers() * FLOAT_BYTES,
        )


def _layers(
    header: _Header, sizes: dict[str, int], count: int, head_sizes: tuple[int, int]
) -> tuple[Layer, ...]:
    heads = header.numbers("attention.head_count_kv", header.number("attention.head_count", 1))
    found = []
    for index in range(count):
        prefix = f"blk.{index}."
        own = {name.removeprefix(prefix): size for name, size in _of(sizes, prefix)}
        shared = heads[min(index, len(heads) - 1)] if _attends(own) else 0
        found.append(Layer(sum(own.values()), *(shared * size for size in head_sizes)))
    return tuple(found)


def _of(sizes: dict[str, int], prefix: str) -> Iterator[tuple[str, int]]:
    return ((name, size) for name, size in sizes.items() if name.startswith(prefix))


def _attends(tensors: dict[str, int]) -> bool:
    """Say whether a layer keeps keys and values; one with a running state alone does not."""
    has_state = any(name.startswith("ssm_") for name in tensors)
    own_keys = any(name.startswith(("attn_k.", "attn_kv")) for name in tensors)
    return own_keys or (not has_state and any(name.startswith("attn_") for name in tensors))


class _Header:
    """An open header: numbers by their key, without the name of the architecture before it."""

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer
        key = _find_key(pointer, b"general.architecture")
        is_text = key >= 0 and _kind(pointer, key) == STRING
        self._architecture = _text(pointer, key).decode("utf-8", "replace") if is_text else ""

    def sizes(self) -> dict[str, int]:
        """Return the bytes of every tensor by its name."""
        return {
            _name(self._pointer, index).decode("utf-8", "replace"): _size(self._pointer, index)
            for index in range(_tensors(self._pointer))
        }

    def length(self, key: str) -> int:
        """Return how many items an array has, 0 for none."""
        found = _find_key(self._pointer, key.encode())
        is_array = found >= 0 and _kind(self._pointer, found) == ARRAY
        return int(_count(self._pointer, found)) if is_array else 0

    def number(self, key: str, default: int) -> int:
        """Return a number, the largest where the file has one for each layer."""
        return max(self.numbers(key, default))

    def numbers(self, key: str, default: int) -> tuple[int, ...]:
        """Return a number, or one for each layer; the default when there is none."""
        pointer = self._pointer
        found = _find_key(pointer, f"{self._architecture}.{key}".encode())
        if found < 0:
            return (default,)
        kind = _kind(pointer, found)
        if kind in NUMBERS:
            return (_values(_data(pointer, found), NUMBERS[kind], 1)[0],)
        if kind != ARRAY or _item_kind(pointer, found) not in NUMBERS:
            return (default,)
        items = NUMBERS[_item_kind(pointer, found)]
        return _values(_items(pointer, found), items, _count(pointer, found)) or (default,)

    def widest_feed_forward(self) -> int:
        """Return the numbers between the two halves of a layer, for all experts at work."""
        experts = self.number("expert_used_count", 1) or 1
        return max(
            self.number("feed_forward_length", 0),
            experts * self.number("expert_feed_forward_length", 0),
        )

    def state_numbers(self) -> int:
        """Return what one layer with a running state keeps of one conversation."""
        inner, state = self.number("ssm.inner_size", 0), self.number("ssm.state_size", 0)
        groups, kernel = self.number("ssm.group_count", 0), self.number("ssm.conv_kernel", 1)
        return max(0, kernel - 1) * (inner + 2 * groups * state) + state * inner


def _values(address: int, kind: Any, count: int) -> tuple[int, ...]:
    return tuple((kind * count).from_address(address)) if address and count else ()


@contextmanager
def _opened(source: VerifiedWeights) -> Iterator[_Header]:
    pointer = _open(source.path.encode(), _Parameters(True, None))
    if not pointer:
        raise EngineUnavailableError(
            "llama.cpp cannot load the weights; the file may be for a newer version",
            hint="look at the engine's log; import a model that this version supports",
        )
    try:
        yield _Header(pointer)
    finally:
        _free(pointer)
