"""A system call filter for the process that looks into model files.

Guarantee: after `install` returned True, this process can read what is open, answer on its
standard output and error, have memory without executable pages, and end. Any other call, and
any call of another architecture, ends the whole process at once (SIGSYS).

The filter is written out here instruction by instruction, so that no library is needed and all
of it can be read. Not here: bounds on memory and time (`inspector`).
Source: Linux, Documentation/userspace-api/seccomp_filter.rst and <linux/filter.h>.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000
# Operations of a filter: load a word, compare, test bits, return.
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
# Places in struct seccomp_data. Arguments have 64 bits; on both machines the low half is first.
NUMBER_AT, MACHINE_AT, ARGUMENTS_AT = 0, 4, 16
PROT_EXEC, MAP_ANONYMOUS = 4, 32


@dataclass(frozen=True)
class Machine:
    """A processor as the kernel knows it: its AUDIT_ARCH number and its call numbers."""

    audit: int
    calls: Mapping[str, int]


# Called without a look at the arguments: none of them can open, name or start anything.
PLAIN = (
    "pread64", "brk", "munmap", "mremap", "madvise", "futex", "rt_sigreturn", "clock_gettime",
    "getrandom", "exit", "exit_group",
)  # fmt: skip

MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine(
        0xC000003E,
        {
            "pread64": 17, "brk": 12, "munmap": 11, "mremap": 25, "madvise": 28, "futex": 202,
            "rt_sigreturn": 15, "clock_gettime": 228, "getrandom": 318, "exit": 60,
            "exit_group": 231, "write": 1, "mmap": 9,
        },
    ),
    "aarch64": Machine(
        0xC00000B7,
        {
            "pread64": 67, "brk": 214, "munmap": 215, "mremap": 216, "madvise": 233, "futex": 98,
            "rt_sigreturn": 139, "clock_gettime": 113, "getrandom": 278, "exit": 93,
            "exit_group": 94, "write": 64, "mmap": 222,
        },
    ),
}  # fmt: skip


class _Program(ctypes.Structure):
    """struct sock_fprog: the number of instructions, and where they are."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install() -> bool:
    """Filter this process from now on, for good; return whether the kernel does so.

    Needs no right, but PR_SET_NO_NEW_PRIVS set before. False where the kernel has no filters
    or the processor is of a kind that no table here describes; then nothing has changed.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None:
        return False
    code = program(machine)
    filter_ = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    done: int = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0)
    return done == 0


def program(machine: Machine) -> bytes:
    """Return the filter for `machine`: instructions of 8 bytes each, as the kernel reads them.

    1. another architecture: ended; 2. a call without conditions: allowed; 3. write: only to
    descriptors 1 and 2; 4. mmap: only anonymous, and never executable; 5. anything else: ended.
    """
    calls = machine.calls
    lines = [
        _line(LOAD, MACHINE_AT),
        _line(EQUAL, machine.audit, yes=1),
        _line(RETURN, KILL_PROCESS),
        _line(LOAD, NUMBER_AT),
    ]
    for name in PLAIN:
        lines += [_line(EQUAL, calls[name], no=1), _line(RETURN, ALLOW)]
    lines += [
        _line(EQUAL, calls["write"], no=7),
        _line(LOAD, _high(0)),
        _line(EQUAL, 0, no=4),
        _line(LOAD, _low(0)),
        _line(EQUAL, 1, yes=1),
        _line(EQUAL, 2, no=1),
        _line(RETURN, ALLOW),
        _line(RETURN, KILL_PROCESS),
        _line(EQUAL, calls["mmap"], no=5),
        _line(LOAD, _low(2)),
        _line(ANY_BIT, PROT_EXEC, yes=3),
        _line(LOAD, _low(3)),
        _line(ANY_BIT, MAP_ANONYMOUS, no=1),
        _line(RETURN, ALLOW),
        _line(RETURN, KILL_PROCESS),
    ]
    return b"".join(lines)


def _line(operation: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """Return struct sock_filter: `yes` and `no` say how many lines a comparison passes over."""
    return struct.pack("<HBBI", operation, yes, no, value)


def _low(argument: int) -> int:
    return ARGUMENTS_AT + 8 * argument


def _high(argument: int) -> int:
    return _low(argument) + 4
