"""The ledger killed at any moment: what was acknowledged is there, and the chain is whole."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from appliance.audit.verify import verify_file
from tests.unit.audit import samples

ROUNDS = 20
ROOT = Path(__file__).parents[3]


def kill_under_load(path: Path, after_s: float) -> list[tuple[int, str, str]]:
    """Run the writer, kill -9 it after a while, and return what it had acknowledged."""
    command = [sys.executable, "-m", "tests.unit.audit.writer_process", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        timer = time.monotonic() + after_s
        lines = []
        while time.monotonic() < timer:
            lines.append(process.stdout.readline())
        process.kill()
        lines += process.stdout.readlines()
    whole = [line.split() for line in lines if line.endswith("\n")]
    return [(int(seq), leaf, entity) for seq, leaf, entity in whole]


def test_killed_ledger_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """Over 20 kills under load, every receipt's entry is in a whole record, in its place."""
    path = samples.make(tmp_path)
    rounds = random.Random(20_260_131)  # noqa: S311 - a reproducible moment, not a secret
    acknowledged: list[tuple[int, str, str]] = []
    for _ in range(ROUNDS):
        acknowledged += kill_under_load(path, rounds.uniform(0.01, 0.15))
        assert verify_file(path).entries >= len(acknowledged)
    stored = {
        seq: (leaf.hex(), json.loads(data)["entity"]) for seq, data, leaf in samples.rows(path)
    }
    assert len(acknowledged) > ROUNDS
    assert all(stored[seq] == (leaf, entity) for seq, leaf, entity in acknowledged)
