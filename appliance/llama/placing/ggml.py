"""Functions of ggml that the bindings load and do not declare, with their types.

A wrong type here reads foreign memory, so each declaration names the header it comes from.
"""

from __future__ import annotations

from typing import Any

from llama_cpp._ggml import libggml


def function(name: str, result: Any, *arguments: Any) -> Any:
    """Return the C function; AttributeError when this build lacks it."""
    found = getattr(libggml, name)
    found.restype, found.argtypes = result, arguments
    return found
