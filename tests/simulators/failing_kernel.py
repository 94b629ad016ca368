"""Runs a piece of work under a kernel that fails one system call of it: EIO, ENOSPC, or kill -9.

Nothing of the work is replaced: the kernel itself stops at each system call that is watched, asks
the test what to answer, and answers that (`seccomp` user notification, Linux 5.5 and later, no
rights needed). So every write can be made to fail in turn, whichever function makes it.

The work runs in a child by fork, so call this from a process that has no threads yet.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import os
import platform
import select
import signal
import socket
import struct
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from typing import Any

# Numbers of the system calls (x86-64, arm64; None: there is none) and, by position, which
# argument is a descriptor (or a folder's) and which is a path.
CALLS: dict[str, tuple[int | None, int | None, int | None, int | None]] = {
    "read": (0, 63, 0, None),
    "readv": (19, 65, 0, None),
    "pread64": (17, 67, 0, None),
    "preadv": (295, 69, 0, None),
    "getdents64": (217, 61, 0, None),
    "write": (1, 64, 0, None),
    "writev": (20, 66, 0, None),
    "pwrite64": (18, 68, 0, None),
    "pwritev": (296, 70, 0, None),
    "fallocate": (285, 47, 0, None),
    "ftruncate": (77, 46, 0, None),
    "fsync": (74, 82, 0, None),
    "fdatasync": (75, 83, 0, None),
    "sync_file_range": (277, 84, 0, None),
    "fchmod": (91, 52, 0, None),
    "openat": (257, 56, 0, 1),
    "rename": (82, None, None, 0),
    "renameat": (264, 38, 0, 1),
    "renameat2": (316, 276, 0, 1),
    "link": (86, None, None, 0),
    "linkat": (265, 37, 0, 1),
    "mkdir": (83, None, None, 0),
    "mkdirat": (258, 34, 0, 1),
    "chmod": (90, None, None, 0),
    "unlink": (87, None, None, 0),
    "unlinkat": (263, 35, 0, 1),
}
READS = ("read", "readv", "pread64", "preadv", "getdents64", "openat")
WRITES = tuple(
    name for name in CALLS if name not in READS and name not in ("unlink", "unlinkat")
)  # fmt: skip
_MACHINES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
_WITHIN_MS = 120_000


@dataclass(frozen=True)
class Call:
    """A system call about to be made: its name, and the path that it is about."""

    name: str
    path: str


Decide = Callable[[Call], int | None]
"""Returns the errno to fail with, -SIGKILL to kill the process, or None to let it be made."""


@dataclass(frozen=True)
class Ended:
    """How the work ended: what it returned (as JSON), or the signal that ended it."""

    value: Any
    signal: int


class Nth:
    """Fails the n-th matching call on paths that begin so (0: none), and keeps them all."""

    def __init__(
        self, places: Sequence[Path], names: Sequence[str], number: int, failure: int = 0
    ) -> None:
        self.seen: list[Call] = []
        self._places, self._names = tuple(map(str, places)), frozenset(names)
        self._number, self._failure = number, failure

    def __call__(self, call: Call) -> int | None:
        if call.name not in self._names or not call.path.startswith(self._places):
            return None
        self.seen.append(call)
        return self._failure if len(self.seen) == self._number else None


def run(work: Callable[[], Any], names: Sequence[str], decide: Decide) -> Ended:
    """Do the work in a child; `decide` is asked before every system call of these names."""
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        here.close()
        _child(work, names, there)
    there.close()
    with here:
        _, files, _, _ = socket.recv_fds(here, 1, 1)
        listener = files[0]
        try:
            _supervise(listener, here, decide)
        finally:
            os.close(listener)
        _, status = os.waitpid(child, 0)
        data = b"".join(iter(lambda: here.recv(65_536), b""))
    ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return Ended(json.loads(data) if data and not ended else None, ended)


def _child(work: Callable[[], Any], names: Sequence[str], parent: socket.socket) -> None:
    code = 1
    try:
        listener = _install(names)
        socket.send_fds(parent, [b"x"], [listener])
        os.close(listener)
        result = json.dumps(work()).encode()
        # `send` is none of the calls that are watched.
        parent.sendall(result)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _supervise(listener: int, child: socket.socket, decide: Decide) -> None:
    """Answer until the child has gone, and with it all who share its filter."""
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    while True:
        ready = waiting.poll(_WITHIN_MS)
        if not ready:
            raise TimeoutError("the work under the failing kernel did not end")
        if not ready[0][1] & select.POLLIN:
            return
        _answer(listener, decide)


def _answer(listener: int, decide: Decide) -> None:
    asked = bytearray(80)
    try:
        ioctl(listener, _RECEIVE, asked)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):  # killed while it waited
            return
        raise
    ident, pid, _, number, _, _, *arguments = struct.unpack("<QIIiIQ6Q", asked)
    name = _names()[number]
    failure = decide(Call(name, _path(pid, name, arguments)))
    if failure is not None and failure < 0:
        os.kill(pid, -failure)
        return
    flags = _CONTINUE if failure is None else 0
    answer = struct.pack("<QqiI", ident, 0, -(failure or 0), flags)
    try:
        ioctl(listener, _SEND, answer)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _path(pid: int, name: str, arguments: Sequence[int]) -> str:
    _, _, descriptor, text = CALLS[name]
    try:
        folder = ""
        if descriptor is not None:
            value = ctypes.c_int32(arguments[descriptor] & 0xFFFFFFFF).value
            link = "cwd" if value == -100 else f"fd/{value}"
            folder = os.readlink(f"/proc/{pid}/{link}")
        if text is None:
            return folder
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(arguments[text])
            found = memory.read(4096).partition(b"\0")[0].decode("utf-8", "replace")
        return os.path.normpath(os.path.join(folder or os.readlink(f"/proc/{pid}/cwd"), found))
    except OSError:
        return ""


@functools.cache
def _names() -> dict[int, str]:
    column = _MACHINES[platform.machine()][0]
    return {numbers[column]: name for name, numbers in CALLS.items()}  # type: ignore[misc]


def _install(names: Sequence[str]) -> int:
    """Ask for these calls from now on, in this process and its children; return the listener."""
    column, machine, seccomp = _MACHINES[platform.machine()]
    numbers = [CALLS[name][column] for name in names]
    watched = [number for number in numbers if number is not None]
    program = [(0x20, 0, 0, 4), (0x15, 0, len(watched) + 1, machine), (0x20, 0, 0, 0)]
    program += [(0x15, len(watched) - at, 0, number) for at, number in enumerate(watched)]
    program += [(0x06, 0, 0, _ALLOW), (0x06, 0, 0, _ASK)]
    code = b"".join(struct.pack("<HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    head = struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)
    listener = libc.syscall(seccomp, 1, 8, ctypes.create_string_buffer(head))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "the kernel takes no such filter")
    return int(listener)


def works() -> bool:
    """Tell whether this kernel can be made to fail."""
    if platform.machine() not in _MACHINES:
        return False
    place = Path(__file__).parent
    attempt = Nth([place], ("openat",), 1, errno.EIO)
    try:
        ended = run(functools.partial(_opens, Path(__file__)), ("openat",), attempt)
    except OSError:
        return False
    return ended.value == errno.EIO


def _opens(path: Path) -> int | None:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        return error.errno
    return None


KILL = -signal.SIGKILL
