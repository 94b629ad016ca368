"""The locked-down child: it reads a header and can do nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.bundles import inspection
from appliance.bundles.inspection import PACKAGE_PARENT, inspect_file
from appliance.bundles.refusals import UnsafeModelError
from tests.simulators.tiny_gguf import write_tiny_gguf
from tests.unit.bundles.test_gguf import build

LOCKED = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from appliance.bundles.inspector import give_up_rights
give_up_rights()
"""


def locked_down(code: str) -> str:
    """Run `code` in a process that has given up its rights; return its last words on stderr."""
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOCKED + code, str(PACKAGE_PARENT)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.stdout + (ended.stderr.strip().splitlines() or [str(ended.returncode)])[-1]


def test_child_reports_what_the_header_says(tmp_path: Path) -> None:
    """A real model's facts come back from the child unchanged."""
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path, context=256)
    facts = inspect_file(path)
    assert (facts.architecture, facts.context_tokens) == ("llama", 256)


def test_child_refuses_in_the_readers_words(tmp_path: Path) -> None:
    """A malformed file is refused with the reason that the child found."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(build(version=2))
    with pytest.raises(UnsafeModelError, match="version 2 is not supported"):
        inspect_file(path)


def test_child_reads_no_other_file() -> None:
    """In the child no file can be opened."""
    assert "Too many open files" in locked_down("open('/etc/hostname')")


def test_child_opens_no_socket() -> None:
    """In the child no socket can be made."""
    assert "Too many open files" in locked_down("socket.socket()")


def test_child_has_bounded_memory() -> None:
    """In the child more than 512 MiB cannot be had."""
    assert locked_down("bytearray(600 * 1024 * 1024)") == "MemoryError"


def test_child_loads_nothing_but_the_standard_library() -> None:
    """The inspector's imports include no third-party package: none of it is exposed to a file."""
    code = "print([m for m in ('tuf', 'sqlalchemy', 'cryptography') if m in sys.modules])"
    assert locked_down(code).startswith("[]")


def test_child_that_is_killed_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a limit ends the child, the file is refused, never accepted for lack of an answer."""
    monkeypatch.setattr(inspection, "COMMAND", "import os, signal; os.kill(os.getpid(), 9)")
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path)
    with pytest.raises(UnsafeModelError, match="ended by its limits"):
        inspect_file(path)


@pytest.mark.parametrize(
    "reply", ["", "[]", "{}", "nonsense", '{"architecture": 1}', "1", '"refused"', "null"]
)
def test_unreadable_reply_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    """A child that was taken over can say nothing that counts as facts."""
    monkeypatch.setattr(inspection, "COMMAND", f"print({reply!r})")
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path)
    with pytest.raises(UnsafeModelError, match="no readable reply"):
        inspect_file(path)
