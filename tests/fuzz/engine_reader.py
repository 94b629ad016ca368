"""Asks llama.cpp's own reader about GGUF files, in a process that it may bring down.

Run: python -m tests.fuzz.engine_reader FILE...; prints a line for each file: how many values and
tensors llama.cpp finds in its header, or `refused`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from pathlib import Path


class _Options(ctypes.Structure):
    """struct gguf_init_params: no tensor data is read, no context made."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))


def library() -> ctypes.CDLL:
    """Return the part of the installed llama.cpp that reads GGUF, without loading the rest."""
    found = importlib.util.find_spec("llama_cpp")
    assert found is not None
    assert found.submodule_search_locations is not None
    folder = Path(found.submodule_search_locations[0]) / "lib"
    loaded = ctypes.CDLL(str(folder / "libggml-base.so"))
    loaded.ggml_type_size.restype = ctypes.c_size_t
    loaded.ggml_blck_size.restype = ctypes.c_int64
    loaded.gguf_init_from_file.restype = ctypes.c_void_p
    loaded.gguf_init_from_file.argtypes = (ctypes.c_char_p, _Options)
    for name in ("gguf_get_n_kv", "gguf_get_n_tensors"):
        getattr(loaded, name).restype = ctypes.c_int64
        getattr(loaded, name).argtypes = (ctypes.c_void_p,)
    return loaded


def main() -> None:
    """Look at every file named on the command line."""
    reader = library()
    for path in sys.argv[1:]:
        found = reader.gguf_init_from_file(path.encode(), _Options(True, None))
        # Nothing is freed: the process ends soon.
        counts = (reader.gguf_get_n_kv(found), reader.gguf_get_n_tensors(found)) if found else ()
        print(*counts or ("refused",), flush=True)


if __name__ == "__main__":
    main()
