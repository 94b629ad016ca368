"""Looks into a model file in a process that can do nothing else.

The child is a fresh interpreter that loads only the standard library and `gguf.py`. It receives
one read-only descriptor as its standard input, and before it reads a byte gives up: the network
(a network namespace of its own, where the kernel lets it), new privileges, opening files,
writing files, more than 512 MiB of memory and 10 seconds of processor time.

Not here: a system call filter (seccomp). Where the kernel denies the namespace, as Docker's
default profile does, the child still cannot open a socket, because it may open no descriptor.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

from appliance.bundles.gguf import Facts
from appliance.bundles.manifest import VerifiedModel
from appliance.bundles.refusals import UnsafeModelError

WALL_CLOCK_S = 30
MAX_REPLY_BYTES = 65_536
PACKAGE_PARENT = Path(__file__).resolve().parents[2]
# -I -S -B: no environment, no user or site packages, nothing written beside the sources.
COMMAND = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from appliance.bundles.inspector import main; main()"
)


def inspect_file(path: Path) -> Facts:
    """Return what the header of `path` says; raise UnsafeModelError if it cannot be trusted."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        return _facts(_run(file))


def check_model(path: Path, model: VerifiedModel) -> Facts:
    """Return the facts of `path` when they are those that were signed for `model`."""
    facts = inspect_file(path)
    if facts.architecture != model.architecture:
        raise UnsafeModelError(
            f"the model's architecture is {facts.architecture!r}, signed was {model.architecture}"
        )
    if facts.chat_template_sha256 != model.chat_template_sha256:
        raise UnsafeModelError(f"the chat template of {model.name} is not the signed one")
    return facts


def _run(file: BinaryIO) -> bytes:
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", COMMAND, str(PACKAGE_PARENT)],
            stdin=file,
            capture_output=True,
            timeout=WALL_CLOCK_S,
            check=False,
            close_fds=True,
            env={},
        )
    except subprocess.TimeoutExpired:
        raise UnsafeModelError(f"looking into the file took longer than {WALL_CLOCK_S} s") from None
    if child.returncode != 0 or len(child.stdout) > MAX_REPLY_BYTES:
        raise UnsafeModelError(
            f"looking into the file was ended by its limits (status {child.returncode})"
        )
    return child.stdout


def _facts(reply: bytes) -> Facts:
    """Read the child's reply, which a hostile file may have influenced."""
    try:
        value = json.loads(reply)
        if "refused" in value:
            raise UnsafeModelError(str(value["refused"])[:500])
        facts = Facts(**value)
    except (ValueError, TypeError) as error:
        raise UnsafeModelError("looking into the file gave no readable reply") from error
    for name, kind in Facts.__annotations__.items():
        if type(getattr(facts, name)).__name__ != kind:
            raise UnsafeModelError("looking into the file gave no readable reply")
    return facts
