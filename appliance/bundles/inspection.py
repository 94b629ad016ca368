"""Looks into a model file in a process that can do nothing else.

The child is a fresh interpreter that loads only the standard library and `gguf`. It receives
one read-only descriptor as its standard input, and before it reads a byte gives up: the network
(a network namespace of its own, where the kernel lets it), new privileges, opening files,
writing files, more than 512 MiB of memory and 10 seconds of processor time, and every system
call but the dozen it needs (`seccomp`, where the kernel has it). Which of those held comes back
with each reply. Where the kernel denies namespace and filter, the child still cannot open a
file or a socket, because it may open no descriptor.

What comes back is bounded and checked anew, since a hostile file may have influenced it.
Not here: tensor contents, and how a template behaves (the engine's sandbox, the evaluation).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.bundles import chat_template, gguf
from appliance.bundles.gguf import Facts
from appliance.bundles.gguf_types import FILE_TYPES
from appliance.bundles.manifest import VerifiedModel
from appliance.bundles.refusals import UnsafeModelError

WALL_CLOCK_S = 30
# JSON writes one byte of a template with up to six.
MAX_REPLY_BYTES = 6 * chat_template.MAX_TEMPLATE_BYTES + 65_536
MAX_REASON_CHARACTERS = 500
PROTECTIONS = ("namespace", "seccomp")
PACKAGE_PARENT = Path(__file__).resolve().parents[2]
# -I -S -B: no environment, no user or site packages, nothing written beside the sources.
COMMAND = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from appliance.bundles.inspector import main; main()"
)
UNREADABLE = "looking into the file gave no readable reply"


@dataclass(frozen=True)
class Inspection:
    """Facts, and which of `PROTECTIONS` held while they were read."""

    facts: Facts
    protections: tuple[str, ...]


def look_into(path: Path) -> Inspection:
    """Return what the header of `path` says; raise UnsafeModelError if it cannot be trusted."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        reply = _parsed(_run(file))
    if "refused" in reply:
        raise UnsafeModelError(_printable(reply["refused"]))
    return Inspection(_facts(reply.get("facts")), _protections(reply))


def inspect_file(path: Path) -> Facts:
    """Return the facts alone; see `look_into`."""
    return look_into(path).facts


def examine(path: Path, model: VerifiedModel) -> Inspection:
    """Return what `look_into` returns when it is what was signed for `model`.

    A model signed with `template_from` "weights" must hold the signed template itself; one
    signed with "publisher" is used with the signed template whatever the file holds. Raises
    UnsafeModelError.
    """
    found = look_into(path)
    facts = found.facts
    if facts.architecture != model.architecture:
        raise UnsafeModelError(
            f"the model's architecture is {facts.architecture!r}, signed was {model.architecture}"
        )
    if model.template_from == "publisher":
        return found
    if not facts.chat_template:
        raise UnsafeModelError(
            f"{model.name} holds no chat template, and was signed as if it held one"
        )
    if facts.chat_template_sha256 != model.chat_template_sha256:
        raise UnsafeModelError(f"the chat template of {model.name} is not the signed one")
    return found


def check_model(path: Path, model: VerifiedModel) -> Facts:
    """Return the facts alone; see `examine`."""
    return examine(path, model).facts


def protections() -> tuple[str, ...]:
    """Return which of `PROTECTIONS` this machine's kernel gives the child, by trying it."""
    with open(os.memfd_create("empty", os.MFD_CLOEXEC), "rb") as empty:
        return _protections(_parsed(_run(empty)))


def _run(file: BinaryIO) -> bytes:
    """Return what the child wrote; raise UnsafeModelError when it wrote too much or too late."""
    deadline = time.monotonic() + WALL_CLOCK_S
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", COMMAND, str(PACKAGE_PARENT)],
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        close_fds=True,
        env={},
    ) as child:
        try:
            assert child.stdout is not None  # noqa: S101  # asked for above
            reply = _read(child.stdout.fileno(), deadline)
            status = child.wait(timeout=max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise UnsafeModelError(
                f"looking into the file took longer than {WALL_CLOCK_S} s"
            ) from None
        finally:
            child.kill()
    if status == -signal.SIGSYS:
        raise UnsafeModelError("looking into the file led to a forbidden system call")
    if status != 0:
        raise UnsafeModelError(f"looking into the file was ended by its limits (status {status})")
    return reply


def _read(descriptor: int, deadline: float) -> bytes:
    """Return all that comes until the end; never more than `MAX_REPLY_BYTES`."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    found = bytearray()
    while True:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1_000):
            raise TimeoutError
        data = os.read(descriptor, 65_536)
        if not data:
            return bytes(found)
        found += data
        if len(found) > MAX_REPLY_BYTES:
            raise UnsafeModelError("looking into the file gave a reply that is too large")


def _parsed(reply: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(reply)
    except (ValueError, RecursionError) as error:
        raise UnsafeModelError(UNREADABLE) from error
    if not isinstance(value, dict):
        raise UnsafeModelError(UNREADABLE)
    return value


def _printable(reason: object) -> str:
    """Return the child's reason without anything that would steer a terminal."""
    text = str(reason)[:MAX_REASON_CHARACTERS]
    return "".join(character if character.isprintable() else "?" for character in text)


def _protections(reply: Mapping[str, object]) -> tuple[str, ...]:
    said = reply.get("protections")
    return tuple(name for name in PROTECTIONS if isinstance(said, list) and name in said)


def _facts(value: object) -> Facts:
    """Return the facts of a reply when each is of its type and within the reader's bounds."""
    try:
        facts = Facts(**value) if isinstance(value, dict) else None
    except TypeError as error:
        raise UnsafeModelError(UNREADABLE) from error
    if facts is None or not _sound(facts):
        raise UnsafeModelError(UNREADABLE)
    return facts


def _sound(facts: Facts) -> bool:
    for name, kind in Facts.__annotations__.items():
        if type(getattr(facts, name)).__name__ != kind:
            return False
    try:
        template = facts.chat_template.encode()
    except UnicodeEncodeError:
        return False
    counts = (facts.vocabulary, facts.parameters, facts.tensors)
    return (
        gguf.ARCHITECTURE.fullmatch(facts.architecture) is not None
        and len(template) <= chat_template.MAX_TEMPLATE_BYTES
        and facts.chat_template_sha256 == chat_template.digest(facts.chat_template)
        and facts.quantisation in {"", *FILE_TYPES.values()}
        and 1 <= facts.context_tokens <= gguf.MAX_CONTEXT
        and 1 <= facts.layers <= gguf.MAX_LAYERS
        and all(1 <= count < 2**63 for count in counts)
    )
