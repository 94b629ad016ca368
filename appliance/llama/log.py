"""llama.cpp's own log, and its start: warnings and errors go to `logging`, nothing to stdout.

What it says never holds text of a prompt or an answer at these levels.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import threading
from collections.abc import Iterator

import llama_cpp.llama_cpp as api

LOG = logging.getLogger("appliance.llama")
# ggml.h: enum ggml_log_level. The bindings' own table is one off, so it is spelled out here.
_LEVELS = {3: logging.WARNING, 4: logging.ERROR}


class _Held(threading.local):
    """The lines a thread keeps back until it knows whether they matter."""

    lines: list[tuple[int, str]] | None = None


_HELD = _Held()


@api.llama_log_callback  # type: ignore[untyped-decorator]  # the bindings ship no types
def _log(level: int, text: bytes, _data: object) -> None:
    if level not in _LEVELS:
        return
    line = _LEVELS[level], text.decode("utf-8", "replace").rstrip()
    if _HELD.lines is None:
        LOG.log(line[0], "llama.cpp: %s", line[1])
    else:
        _HELD.lines.append(line)


@functools.cache
def start_backend() -> None:
    """Initialise llama.cpp, once per process."""
    api.llama_log_set(_log, ctypes.c_void_p(0))
    api.llama_backend_init()


@contextlib.contextmanager
def held_back() -> Iterator[list[tuple[int, str]]]:
    """Collect this thread's lines instead of logging them: a cancelled step is no error."""
    lines: list[tuple[int, str]] = []
    _HELD.lines = lines
    try:
        yield lines
    finally:
        _HELD.lines = None


def write(lines: list[tuple[int, str]]) -> None:
    for level, text in lines:
        LOG.log(level, "llama.cpp: %s", text)
