"""Which GPUs this build of llama.cpp can use, in its own order, with their memory.

The order matters: shares of several GPUs follow it, and it may differ from the driver's.
Not here: GPUs that it cannot use (`nvidia`).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from appliance.llama import log
from appliance.llama.placing.ggml import function

# ggml-backend.h: enum ggml_backend_dev_type.
GPU, INTEGRATED = 1, 2
MOST = 16


@dataclass(frozen=True)
class Device:
    """A GPU as llama.cpp names it, such as CUDA0; sizes in bytes."""

    name: str
    description: str
    total_bytes: int
    free_bytes: int


def devices() -> tuple[Device, ...]:
    """Return the GPUs; as llama.cpp does, those inside the processor only if there is no other."""
    log.start_backend()
    by_kind: dict[int, list[Device]] = {GPU: [], INTEGRATED: []}
    for index in range(_count()):
        pointer = _get(index)
        kind = _kind(pointer)
        # Never asked of the processor: only its kind is wanted.
        if kind in by_kind:
            by_kind[kind].append(_device(pointer))
    return tuple((by_kind[GPU] or by_kind[INTEGRATED])[:MOST])


def _device(pointer: int) -> Device:
    free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
    _memory(pointer, ctypes.byref(free), ctypes.byref(total))
    name, description = _name(pointer) or b"", _description(pointer) or b""
    return Device(
        name.decode("utf-8", "replace"),
        description.decode("utf-8", "replace"),
        total.value,
        min(free.value, total.value),
    )


# ggml-backend.h
_sizes = ctypes.POINTER(ctypes.c_size_t)
_count = function("ggml_backend_dev_count", ctypes.c_size_t)
_get = function("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
_kind = function("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
_name = function("ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)
_description = function("ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)
_memory = function("ggml_backend_dev_memory", None, ctypes.c_void_p, _sizes, _sizes)
