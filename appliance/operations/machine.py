"""What this machine is, as far as a figure or a finding about a model depends on it."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

CPU = Path("/proc/cpuinfo")
MEMORY = Path("/proc/meminfo")
_PROCESSOR = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
_TOTAL = re.compile(r"^MemTotal:\s*(\d+) kB$", re.MULTILINE)


def machine() -> dict[str, str | int]:
    """Return processor, architecture, number of cores, memory in bytes; 0 or empty: not known."""
    processor = _PROCESSOR.search(_read(CPU))
    total = _TOTAL.search(_read(MEMORY))
    return {
        "processor": processor[1].strip() if processor else "",
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 0,
        "memory_bytes": int(total[1]) * 1024 if total else 0,
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
