"""The system call filter: what it lets pass, and that anything else ends the process at once."""

from __future__ import annotations

import platform
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from appliance.bundles import seccomp
from appliance.bundles.inspection import PACKAGE_PARENT, PROTECTIONS, protections
from appliance.bundles.seccomp import ALLOW, KILL_PROCESS, MACHINES, Machine, program

KERNEL_FILTERS = Path("/proc/sys/kernel/seccomp/actions_avail").exists()
needs_filter = pytest.mark.skipif(
    not KERNEL_FILTERS or platform.machine() not in MACHINES,
    reason="this kernel has no system call filters",
)

FILTERED = """
import ctypes, mmap, os, sys
sys.path.insert(0, sys.argv[1])
from appliance.bundles import seccomp
libc = ctypes.CDLL(None, use_errno=True)
page = mmap.mmap(-1, 4096)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and seccomp.install()
os.write(1, b"locked;")
"""
# Ends without tidying up, so that only the call in question can have ended the process.
ALIVE = "\nos.write(1, b'alive')\nos._exit(0)\n"


def filtered(code: str) -> tuple[str, int]:
    """Run `code` behind the filter; return what it wrote, and its exit status."""
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", FILTERED + code + ALIVE, str(PACKAGE_PARENT)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.stdout, ended.returncode


FORBIDDEN = {
    "opening a file": "libc.open(b'/etc/hostname', 0)",
    "a socket": "libc.socket(2, 1, 0)",
    "a program": "libc.execv(b'/bin/true', (ctypes.c_char_p * 2)(b'/bin/true', None))",
    "a child": "libc.fork()",
    "a thread": "import _thread; _thread.start_new_thread(print, ())",
    "tracing": "libc.ptrace(16, 1, 0, 0)",
    "a signal to another": "libc.kill(os.getppid(), 0)",
    "a new namespace": "libc.unshare(0x10000000)",
    "another's memory": "libc.process_vm_readv(1, 0, 0, 0, 0, 0)",
    "a second descriptor": "libc.dup(1)",
    "an ioctl": "libc.ioctl(1, 0, 0)",
    "a kernel program": "libc.syscall(321, 0, 0, 0)",
    "writing elsewhere": "libc.write(0, b'x', 1)",
    "writing to 2**32 + 1": "libc.syscall(WRITE, ctypes.c_ulong(1 << 32 | 1), b'', 0)",
    "executable memory": "libc.mmap(None, 4096, 7, 0x22, -1, 0)",
    "a file in memory": "libc.mmap(None, 4096, 1, 2, 0, 0)",
    "making memory executable": "libc.mprotect(ctypes.c_void_p(ctypes.addressof("
    "ctypes.c_char.from_buffer(page))), 4096, 5)",
}


@needs_filter
@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_forbidden_call_ends_the_process(name: str) -> None:
    """A call outside the list ends the process before it returns."""
    number = MACHINES[platform.machine()].calls["write"]
    said, status = filtered(FORBIDDEN[name].replace("WRITE", str(number)))
    assert (said, status) == ("locked;", -signal.SIGSYS)


@needs_filter
@pytest.mark.skipif(platform.machine() != "x86_64", reason="only there is there a second number")
def test_call_by_the_other_numbers_ends_the_process() -> None:
    """On x86-64 a call by its x32 number is not taken for the allowed one."""
    said, status = filtered("libc.syscall(0x40000000 + 1, 1, b'x', 1)")
    assert (said, status) == ("locked;", -signal.SIGSYS)


@needs_filter
def test_needed_calls_pass() -> None:
    """Reading at a place, a great deal of memory, the time and an answer are possible."""
    code = "data = [bytes(n) for n in (10, 10**5, 10**8)]\nimport time\ntime.time()\ndel data\n"
    assert filtered("os.pread(0, 10, 0)\n" + code) == ("locked;alive", 0)


@needs_filter
def test_standard_error_can_be_written() -> None:
    """Words on the standard error pass as those on the standard output do."""
    assert filtered("os.write(2, b'x')") == ("locked;alive", 0)


def test_machine_without_a_table_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another kind of processor nothing is installed, and that is said."""
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert seccomp.install() is False


@needs_filter
def test_filter_is_reported_as_held() -> None:
    """What holds on this machine can be asked for, and names the filter."""
    held = protections()
    assert "seccomp" in held
    assert set(held) <= set(PROTECTIONS)


def run_filter(code: bytes, audit: int, number: int, arguments: Mapping[int, int]) -> int:
    """Return what the filter returns for a call, as the kernel would work it out."""
    values = [arguments.get(place, 0) for place in range(6)]
    data = struct.pack("<iIQ6Q", number, audit, 0, *values)
    lines = list(struct.iter_unpack("<HBBI", code))
    loaded = at = 0
    while True:
        operation, yes, no, value = lines[at]
        at += 1
        if operation == seccomp.RETURN:
            return int(value)
        if operation == seccomp.LOAD:
            loaded = struct.unpack_from("<I", data, value)[0]
        elif operation == seccomp.EQUAL:
            at += yes if loaded == value else no
        else:
            assert operation == seccomp.ANY_BIT
            at += yes if loaded & value else no


@pytest.mark.parametrize("name", sorted(MACHINES))
def test_filter_allows_exactly_the_list(name: str) -> None:
    """For every call number of each machine, the filter's answer is that of the list."""
    machine = MACHINES[name]
    plain = {machine.calls[call] for call in seccomp.PLAIN}
    code = program(machine)
    for number in range(600):
        expected = ALLOW if number in plain else KILL_PROCESS
        if number not in (machine.calls["write"], machine.calls["mmap"]):
            assert run_filter(code, machine.audit, number, {}) == expected


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize(
    ("call", "arguments", "allowed"),
    [
        ("write", {0: 1}, True),
        ("write", {0: 2}, True),
        ("write", {0: 0}, False),
        ("write", {0: 3}, False),
        ("write", {0: 1 << 32 | 1}, False),
        ("mmap", {2: 3, 3: 0x22}, True),
        ("mmap", {2: 7, 3: 0x22}, False),
        ("mmap", {2: 4, 3: 0x22}, False),
        ("mmap", {2: 3, 3: 0x02}, False),
    ],
)
def test_arguments_are_looked_at(
    machine: Machine, call: str, arguments: dict[int, int], allowed: bool
) -> None:
    """Writing is allowed to 1 and 2 alone; memory only without a file and without execution."""
    found = run_filter(program(machine), machine.audit, machine.calls[call], arguments)
    assert found == (ALLOW if allowed else KILL_PROCESS)


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_other_architecture_is_ended(machine: Machine) -> None:
    """A call made as another processor's program would is refused whatever its number."""
    for number in range(600):
        assert run_filter(program(machine), 0x40000003, number, {0: 1}) == KILL_PROCESS
