"""The program of the locked-down child: gives up its rights, reads a header, prints JSON.

Started by `inspection` only. Imports the standard library and `gguf` alone. Prints either the
facts or `{"refused": why}`; any other end means that a limit was hit.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys

from appliance.bundles.gguf import inspect
from appliance.bundles.refusals import UnsafeModelError

MEMORY_BYTES = 512 * 1024 * 1024
CPU_SECONDS = 10
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_NO_NEW_PRIVS = 38


def main() -> None:
    """Lock down, inspect standard input, print the reply."""
    give_up_rights()
    try:
        facts = inspect(lambda offset, count: os.pread(0, count, offset), os.fstat(0).st_size)
        reply = dict(vars(facts))
    except UnsafeModelError as error:
        reply = {"refused": error.message}
    sys.stdout.write(json.dumps(reply))


def give_up_rights() -> None:
    """Leave this process nothing but its open descriptors, bounded memory and time."""
    libc = ctypes.CDLL(None, use_errno=True)
    # As root the namespace comes alone; else only together with a user namespace. Both may be
    # denied: RLIMIT_NOFILE below keeps a socket from being opened in any case.
    if libc.unshare(CLONE_NEWNET) != 0:
        libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
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
