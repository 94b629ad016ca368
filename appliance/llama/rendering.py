"""Renders a model's chat template in a process that can do nothing else, within limits.

Guarantee: whatever a template does (loops, grows, recurses, reaches for Python), it costs at most
one second of one processor and 512 MiB for each conversation, no file and no socket, and one
error; the engine, its other answers and the next conversation go on. A signature makes nobody's
template end: see CVE-2024-34359.

The child keeps running between conversations, and is started again after it was ended.
Not here: making messages safe (`prompt`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from appliance.errors import EngineUnavailableError

# The child ends itself by processor time; this is for a machine that gives it none.
WALL_CLOCK_S = 60.0
MAX_REPLY_BYTES = 256 * 1_048_576
PATHS = (str(Path(__file__).resolve().parents[2]), str(Path(jinja2.__file__).resolve().parents[1]))
# -I -S -B: no environment, no user or site packages run, nothing written beside the sources.
COMMAND = (
    "import sys; sys.path[:0] = sys.argv[1:]; from appliance.llama.renderer import main; main()"
)


class RefusedByTemplateError(Exception):
    """The template's own words against a conversation, or Jinja's against the template."""


class Renderer:
    """One chat template, ready to render; may be used by several threads."""

    def __init__(self, template: str, *, eos: str, bos: str) -> None:
        """Raise EngineUnavailableError when the template cannot be compiled within the limits."""
        self._first = {"template": template, "eos": eos, "bos": bos}
        self._lock = threading.Lock()
        self._child: _Child | None = None
        try:
            with self._lock:
                self._running()
        except RefusedByTemplateError as error:
            raise EngineUnavailableError(
                f"the model's chat template is not valid: {error}; it was not loaded"
            ) from error

    def render(
        self,
        messages: Sequence[dict[str, Any]],
        most: int,
        tools: Sequence[dict[str, Any]] = (),
    ) -> str:
        """Return the conversation as the template writes it, at most `most` characters.

        `tools` as templates expect them, JSON Schema and all.
        Raises RefusedByTemplateError, or EngineUnavailableError when a limit ended it.
        """
        with self._lock:
            child = self._running()
            # Without tools, templates expect none rather than an empty list.
            asked = {"messages": list(messages), "tools": list(tools) or None, "most": most}
            try:
                return str(child.ask(asked)["prompt"])
            except EngineUnavailableError:
                self._child = None
                raise

    def _running(self) -> _Child:
        if self._child is None or self._child.ended:
            child = _Child()
            child.ask(self._first)
            self._child = child
        return self._child


class _Child:
    """The process of `renderer`; ended at the latest with this object."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", COMMAND, *PATHS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={},
        )
        self._end = weakref.finalize(self, _end, self._process)

    @property
    def ended(self) -> bool:
        return not self._end.alive or self._process.poll() is not None

    def ask(self, value: dict[str, Any]) -> dict[str, Any]:
        """Send one line and return the reply; on anything but a reply the child is ended."""
        try:
            reply = self._exchange(json.dumps(value).encode() + b"\n")
        except (OSError, ValueError, EOFError, RecursionError):
            self._end()
            raise EngineUnavailableError(
                "the model's chat template took too much time or memory and was ended; "
                "nothing was asked",
                hint="use another model; tell the publisher of this one",
            ) from None
        if "refused" in reply:
            words = str(reply["refused"])
            raise RefusedByTemplateError("".join(filter(str.isprintable, words)))
        return reply

    def _exchange(self, line: bytes) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        assert self._process.stdout is not None  # noqa: S101
        until = time.monotonic() + WALL_CLOCK_S
        view = memoryview(line)
        while view:
            view = view[self._process.stdin.write(view) :]
        reply = bytearray()
        while not reply.endswith(b"\n"):
            reply += _read(self._process.stdout.fileno(), until)
            if len(reply) > MAX_REPLY_BYTES:
                raise ValueError("the reply does not end")
        value: dict[str, Any] = json.loads(reply)
        return value


def _read(descriptor: int, until: float) -> bytes:
    waiting = select.poll()  # unlike select(), for any number of open files
    waiting.register(descriptor, select.POLLIN)
    ready = waiting.poll(max(0.0, until - time.monotonic()) * 1000)
    data = os.read(descriptor, 1_048_576) if ready else b""
    if not data:
        raise EOFError
    return data


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
