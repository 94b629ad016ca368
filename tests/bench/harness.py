"""What every benchmark shares: rounds in turn, medians, a table, and build/bench/<name>.json.

Ratios travel between machines, absolute figures do not. Nothing here is typed in by hand, and
nothing here judges: what a ratio should reach is in the table of goals, not in a test.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

BUILD = Path(__file__).parents[2] / "build" / "bench"
ROUNDS = 3

Measure = Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Row:
    """One subject: the median of each figure over all rounds, and the rounds themselves."""

    subject: str
    figures: Mapping[str, float]
    rounds: tuple[Mapping[str, float], ...] = ()


def measure(subjects: Mapping[str, Measure], rounds: int = ROUNDS) -> list[Row]:
    """Run every subject once per round, in turn, so that a slow minute of the machine hits all."""
    seen: dict[str, list[Mapping[str, float]]] = {subject: [] for subject in subjects}
    for number in range(rounds):
        for subject, run in subjects.items():
            print(f"round {number + 1} of {rounds}: {subject}", file=sys.stderr, flush=True)
            seen[subject].append(run())
    return [
        Row(subject, {figure: _median(found, figure) for figure in found[0]}, tuple(found))
        for subject, found in seen.items()
    ]


def median(rows: list[Row], subject: str, figure: str) -> float:
    """Return one median out of the rows."""
    return next(row.figures[figure] for row in rows if row.subject == subject)


def report(name: str, rows: list[Row], ratios: Mapping[str, float]) -> Path:
    """Print both tables and write `build/bench/<name>.json`; return where it lies."""
    width = max(len(row.subject) for row in rows)
    for row in rows:
        for figure, value in row.figures.items():
            print(f"{row.subject:<{width}}  {figure:<22} {value:>14,.2f}")
    print()
    for key, value in ratios.items():
        print(f"{key:<{width + 24}} {value:>14,.2f}")
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"{name}.json"
    result = {
        "machine": machine(),
        "rows": [asdict(row) for row in rows],
        "ratios": {key: round(value, 4) for key, value in ratios.items()},
    }
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\nwritten to {path}")
    return path


def machine() -> dict[str, str | int]:
    """Return what a reader needs to know of this machine."""
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _field(Path("/proc/meminfo"), "MemTotal"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_1min": f"{os.getloadavg()[0]:.2f}",
    }


def _median(rounds: list[Mapping[str, float]], figure: str) -> float:
    return statistics.median(found[figure] for found in rounds)


def _field(file: Path, name: str) -> str:
    for line in file.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"
