"""What tells nginx the gateway's address: again when it changed, and until that was taken."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.simulators.stack import ROOT

WATCH = ROOT / "compose" / "edge" / "watch-gateway.sh"
PATIENCE_S = 30


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}")
    (folder / name).chmod(0o755)


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def test_without_a_gateway_nobody_is_asked(tmp_path: Path) -> None:
    """nginx starts all the same, and answers 502 until there is one."""
    file = tmp_path / "gateway.conf"
    subprocess.run([WATCH, "once", "nowhere.invalid", "8080", file], check=True)
    assert file.read_text() == "server 127.0.0.1:9;\n"


def test_what_was_not_taken_is_told_again(tmp_path: Path) -> None:
    """A reload that fails, as before nginx has begun, is no reason to be silent from then on."""
    file, answer, ready = tmp_path / "gateway.conf", tmp_path / "answer", tmp_path / "ready"
    answer.write_text("10.0.0.1")
    names = tmp_path / "names"
    # The one answer that cannot be had for real: a name whose address changes.
    program(names, "getent", f'echo "$(cat {answer}) STREAM $2"\n')
    program(names, "nginx", f'[ -e {ready} ] && echo "$@" >>{tmp_path}/reloads\n')
    watch = subprocess.Popen(
        [WATCH, "0.1", "gateway", "8080", file, "nginx"],
        env={**os.environ, "PATH": f"{names}:{os.environ['PATH']}"},
    )
    try:
        until(lambda: file.exists() and "10.0.0.1:8080" in file.read_text())
        answer.write_text("10.0.0.2")
        until(lambda: "10.0.0.2:8080" in file.read_text())
        assert not (tmp_path / "reloads").exists()
        ready.touch()
        until((tmp_path / "reloads").exists)
        assert (tmp_path / "reloads").read_text().splitlines()[0] == "-s reload"
    finally:
        watch.terminate()
        watch.wait(PATIENCE_S)
