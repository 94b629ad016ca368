"""The program of the locked-down child: gives up its rights, reads a header, prints JSON.

Started by `inspection` only. Imports the standard library and `gguf` alone. Prints one object:
`{"facts": ..., "protections": [...]}` or `{"refused": why, "protections": [...]}`; any other
end means that a limit was hit or that a forbidden system call was made.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
from typing import NoReturn

from appliance.bundles import seccomp
from appliance.bundles.gguf import inspect
from appliance.bundles.refusals import UnsafeModelError

MEMORY_BYTES = 512 * 1024 * 1024
CPU_SECONDS = 10
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_NO_NEW_PRIVS = 38


def main() -> NoReturn:
    """Lock down, inspect standard input, print the reply, end."""
    # Asked for before: the filter has no call that tells a file's size.
    size = os.fstat(0).st_size
    protections = give_up_rights()
    reply: dict[str, object] = {"protections": protections}
    try:
        facts = inspect(lambda offset, count: os.pread(0, count, offset), size)
        reply["facts"] = dict(vars(facts))
    except UnsafeModelError as error:
        reply["refused"] = error.message
    except MemoryError:
        reply["refused"] = "looking into the file took more memory than it may"
    answer = memoryview(json.dumps(reply).encode())
    while answer:
        answer = answer[os.write(1, answer) :]
    # Ending the interpreter in good order would make calls that the filter does not have.
    os._exit(0)


def give_up_rights() -> list[str]:
    """Leave this process nothing but its open descriptors, bounded memory and time.

    Returns the protections beyond those that every kernel gives, of "namespace" and "seccomp".
    """
    held = []
    libc = ctypes.CDLL(None, use_errno=True)
    # As root the namespace comes alone; else only together with a user namespace. Both may be
    # denied: RLIMIT_NOFILE below keeps a socket from being opened in any case.
    if libc.unshare(CLONE_NEWNET) == 0 or libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0:
        held.append("namespace")
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel keeps no process from new privileges")
    for limit, wanted in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (value, value))
    if seccomp.install():
        held.append("seccomp")
    return held
