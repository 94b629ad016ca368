"""One of the three programs in this process, under gunicorn: one worker, many threads.

State such as running answers lives in the worker, so there is exactly one; gunicorn's master
replaces it when it dies. Worker and master each die with their parent, so that no orphan keeps a
socket, a lock or a loaded model.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger

from appliance.cli.lingering import Worker
from appliance.errors import ApplianceError

PR_SET_PDEATHSIG = 1
BOOT_FAILED = 3
WORKER_ENDED = 1
GRACE_S = 5


class Program(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """A WSGI application made in the worker by `make`, with what to do when it is told to stop."""

    def __init__(
        self,
        make: Callable[[], tuple[Callable[..., Any], Callable[[], None]]],
        options: dict[str, Any],
        exit_code_of: Callable[[ApplianceError], int],
        report: Callable[[ApplianceError], None],
        *,
        once: bool = False,
    ) -> None:
        """With `once` the program ends when its worker does, instead of starting another."""
        self._once = once
        self._make = make
        self._options = options
        self._exit_code_of = exit_code_of
        self._report = report
        self._stop: Callable[[], None] = lambda: None
        # The worker tells the master through shared memory why it could not start.
        self.failure = multiprocessing.Value("i", 0)
        super().__init__()

    def load_config(self) -> None:
        hooks = {"post_fork": _after_fork, "post_worker_init": self._ready}
        if self._once:
            hooks["child_exit"] = _end_with_worker
        for name, value in {**self._options, **hooks}.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[..., Any]:
        """Build the application in the worker; on refusal say why and stop the whole program."""
        try:
            application, self._stop = self._make()
        except ApplianceError as error:
            self._report(error)
            self.failure.value = self._exit_code_of(error)
            sys.exit(BOOT_FAILED)
        return application

    def _ready(self, worker: Any) -> None:
        """Let the application end its work before gunicorn waits for open requests."""
        inherited = signal.getsignal(signal.SIGTERM)

        def stop(number: int, frame: Any) -> None:
            self._stop()
            if callable(inherited):
                inherited(number, frame)

        signal.signal(signal.SIGTERM, stop)


class PlainLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's log without the lines that only repeat why a part refused to start."""

    REPEATED = ("Worker (pid:%s) exited with code", "Shutting down: %s", "Reason: %s")

    def error(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log an error unless its reason was printed already."""
        if not msg.startswith(self.REPEATED):
            super().error(msg, *args, **kwargs)


def run_program(program: Program) -> int:
    """Serve until told to stop; return the exit code."""
    master = os.getpid()
    try:
        program.run()
    except HaltServer as halted:
        return int(program.failure.value) or int(halted.exit_status)
    except SystemExit as ended:
        if os.getpid() != master:
            raise  # a worker's own end: the master reads its exit code
        code = ended.code if isinstance(ended.code, int) else 1
        return int(program.failure.value) or code
    return 0


def options(
    bind: str, threads: int, name: str, silence_s: int = 120, *, shared: bool = False
) -> dict[str, Any]:
    """Return gunicorn's settings for one program; `bind` is `unix:PATH` or `HOST:PORT`.

    A worker that shows no sign of life for `silence_s` seconds is replaced. With `shared` the
    socket is open to this process's group, else to its user alone.
    """
    shared_memory = Path("/dev/shm")  # noqa: S108  # heartbeat file only; it must not be on disk
    return {
        "bind": bind,
        "workers": 1,
        "worker_class": Worker,
        "threads": threads,
        "timeout": silence_s,
        "graceful_timeout": GRACE_S,
        "keepalive": 75,
        "loglevel": "error",
        "logger_class": PlainLogger,
        "accesslog": None,
        "umask": 0o007 if shared else 0o077,  # of the socket; files get what harden_process says
        # gunicorn would take SCRIPT_NAME and PATH_INFO from headers of a loopback peer.
        "forwarder_headers": "",
        "forwarded_allow_ips": "",
        "proc_name": f"appliance {name}",
        "control_socket_disable": True,
        "worker_tmp_dir": str(shared_memory) if shared_memory.is_dir() else None,
    }


class Sink:
    """Where log lines go; one that cannot be written is lost, and stops nobody's work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        """Write one line."""
        # A closed stream raises ValueError, a full disk or a pipe without a reader OSError.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{message}\n")
            self._stream.flush()

    warning = error = critical = msg


def log_plainly() -> None:
    """Write the parts' own log as JSON lines to stderr, warnings and worse, without tracebacks.

    structlog's default shows the local values of each frame: prompts, answers, keys.
    """
    sink = Sink(sys.stderr)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: sink,
    )


def harden_process() -> None:
    """No core dumps (they hold prompts in the clear), no files readable by others."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)


def die_with_parent(parent: int, number: signal.Signals) -> None:
    """Ask the kernel to send `number` when the parent dies (Linux prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def _after_fork(server: Any, worker: Any) -> None:
    die_with_parent(server.pid, signal.SIGKILL)


def _end_with_worker(server: Any, worker: Any) -> None:
    raise HaltServer("the worker ended", WORKER_ENDED)
