"""A command of the appliance, run in this process as its installed program would run it.

A process of its own costs a second or two, nearly all of it for imports; where that process is
not what a test is about, this gives the same exit code, the same output and the same record.
Not here: what `run` and `serve` start, signals, and terminals.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from unittest.mock import patch

import structlog

from appliance.cli.main import run

ENDING = (signal.SIGTERM, signal.SIGHUP)


def command(
    words: Sequence[str], environment: Mapping[str, str], *, typed: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run one command line; raises CalledProcessError if it fails and that is not expected."""
    out, err = _Captured(), _Captured()
    with (
        patch.dict(os.environ, environment, clear=True),
        patch.object(sys, "stdin", io.StringIO(typed)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _left_as_it_was(),
    ):
        code = run(words)
    done = subprocess.CompletedProcess(list(words), code, out.text(), err.text())
    if check:
        done.check_returncode()
    return done


class _Captured(io.TextIOWrapper):
    """Takes text and bytes, as the standard streams do."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="")

    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


@contextlib.contextmanager
def _left_as_it_was() -> Iterator[None]:
    """Give back what a command sets for the rest of its process: logs, and ends by signals."""
    logs = structlog.get_config()
    in_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in ENDING if in_main}
    try:
        yield
    finally:
        structlog.configure(**logs)
        for number, handler in handlers.items():
            signal.signal(number, handler)
