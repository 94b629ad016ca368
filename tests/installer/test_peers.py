"""The script that builds the servers of others for tests and benchmarks."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "installer/peers/build.sh"


def test_a_name_that_is_no_peer_is_refused() -> None:
    """A slip of the pen builds nothing, and the script says what there is to name."""
    done = subprocess.run([SCRIPT, "llamaserver"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "name llama-server or ollama" in done.stderr


def test_the_source_is_the_locked_one() -> None:
    """llama.cpp comes from the very package that the lock file pins, by one digest."""
    lock = (ROOT / "requirements.lock").read_text()
    (entry,) = re.findall(r"^llama-cpp-python==.*\n(?: {4}--hash=.*\n)+", lock, re.MULTILINE)
    # The script takes the first; more than one would be a wheel beside the source package.
    assert entry.count("--hash=sha256:") == 1
    assert "requirements.lock" in SCRIPT.read_text()
