"""Blows of the soak: what is killed, stopped or cut while questions are answered.

All of them are real signals to real processes; a cut connection is closed with shutdown(2) on the
very socket of the process that holds it (pidfd_getfd(2)).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.simulators.stack import Stack

PIDFD_OPEN, PIDFD_GETFD = 434, 438
CONNECTED = "03"
CUT_TRIES = 50


class Blows(threading.Thread):
    """Strikes at random every few seconds until told to stop; `struck` counts each kind."""

    def __init__(self, stack: Stack, stopping: threading.Event, pause_s: tuple[float, float]):
        super().__init__(daemon=True, name="blows")
        self._stack, self._stopping, self._pause_s = stack, stopping, pause_s
        self._random = random.Random(2)  # noqa: S311  # the same blows each time
        self._halted: list[int] = []
        self.struck: Counter[str] = Counter()
        self.fault: str | None = None
        self._kinds: dict[str, Callable[[dict[str, list[int]]], bool]] = {
            "model killed": lambda parts: _signal(parts, "model", -1, signal.SIGKILL),
            "model's master killed": lambda parts: _signal(parts, "model", 0, signal.SIGKILL),
            "model stopped": lambda parts: _signal(parts, "model", -1, signal.SIGSTOP),
            "manager killed": lambda parts: _signal(parts, "engine", -1, signal.SIGKILL),
            "manager's master killed": lambda parts: _signal(parts, "engine", 0, signal.SIGKILL),
            "manager halted": self._halt,
            "connections cut": self._cut,
        }

    def run(self) -> None:
        bag: list[str] = []
        try:
            while not self._stopping.wait(self._random.uniform(*self._pause_s)):
                # In rounds of random order, so that a short soak has some of each kind too.
                bag = bag or self._random.sample(list(self._kinds), len(self._kinds))
                name = bag.pop()
                with contextlib.suppress(ProcessLookupError):
                    self.struck[name] += self._kinds[name](self._stack.parts())
        except Exception as error:
            self.fault = repr(error)
        finally:
            self._release()

    def _halt(self, parts: dict[str, list[int]]) -> bool:
        """Let the manager stand still for a while; its models answer on."""
        if not _signal(parts, "engine", -1, signal.SIGSTOP):
            return False
        self._halted.append(parts["engine"][-1])
        self._stopping.wait(self._random.uniform(*self._pause_s))
        self._release()
        return True

    def _cut(self, _: dict[str, list[int]]) -> bool:
        """Cut what there is at the first moment that there is anything."""
        for _try in range(CUT_TRIES):
            pids = self._stack.parts().get("model", [])
            if len(pids) > 1 and cut(pids[-1]):
                return True
            self._stopping.wait(0.1)
        return False

    def _release(self) -> None:
        while self._halted:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._halted.pop(), signal.SIGCONT)


def _signal(parts: dict[str, list[int]], part: str, which: int, number: int) -> bool:
    pids = parts.get(part, [])
    if len(pids) < 2:  # it is being started
        return False
    os.kill(pids[which], number)
    return True


def cut(pid: int) -> int:
    """Close every connection on the Unix sockets that a process listens on; return how many."""
    found = 0
    with contextlib.suppress(OSError):
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
        connected = _connected()
        for place in descriptors:
            with contextlib.suppress(OSError):
                if str(place.readlink()).removeprefix("socket:[").rstrip("]") in connected:
                    _shut(pid, int(place.name))
                    found += 1
    return found


def _connected() -> set[str]:
    """Return the inodes of connected Unix sockets that were accepted at an address."""
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {row[6] for row in rows if len(row) > 7 and row[5] == CONNECTED}


def _shut(pid: int, number: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.syscall(PIDFD_OPEN, pid, 0)
    if handle < 0:
        raise OSError(ctypes.get_errno(), "pidfd_open")
    try:
        copy = libc.syscall(PIDFD_GETFD, handle, number, 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        with socket.socket(fileno=copy) as own:
            own.shutdown(socket.SHUT_RDWR)
    finally:
        os.close(handle)
