"""How much memory this process may still take: the machine's, within its cgroups' limits.

What the kernel only keeps in case it is read again (the page cache) counts as free. Not here:
memory of GPUs (`devices`), and what others will take later.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.llama.placing.cgroups import folders, read

MEMORY_INFO = Path("/proc/meminfo")
KIB = 1024
# A cgroup v1 without a limit states the largest multiple of a page below 2^63.
UNLIMITED = 2**60


@dataclass(frozen=True)
class Ram:
    """Bytes: all that this process could ever have, and what is free of it now."""

    total: int
    available: int


def ram() -> Ram:
    """Return the tightest of the machine's memory and every cgroup's from this process up."""
    machine = parse_meminfo(read(MEMORY_INFO))
    found = [machine, *(group for group in map(_group, folders("memory")) if group is not None)]
    return Ram(min(one.total for one in found), max(0, min(one.available for one in found)))


def parse_meminfo(text: str) -> Ram:
    """Return what /proc/meminfo says; 0 where it says nothing (pure)."""
    values = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()[:1]
        if number and number[0].isdecimal():
            values[name] = int(number[0]) * KIB
    total = values.get("MemTotal", 0)
    return Ram(total, min(total, values.get("MemAvailable", values.get("MemFree", 0))))


def parse_group(limit: str, used: str, stat: str) -> Ram | None:
    """Return a cgroup's memory; None when it has no limit or its files make no sense (pure)."""
    limit, used = limit.strip(), used.strip()
    if not limit.isdecimal() or int(limit) >= UNLIMITED:
        return None
    taken = int(used) if used.isdecimal() else 0
    return Ram(int(limit), int(limit) - max(0, taken - _page_cache(stat)))


def _page_cache(stat: str) -> int:
    lines = [line.split() for line in stat.splitlines()]
    values = {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdecimal()}
    # v1 counts a group's children under these names; v2 does so anyway.
    names = ("total_active_file", "total_inactive_file")
    if not any(name in values for name in names):
        names = ("active_file", "inactive_file")
    return sum(values.get(name, 0) for name in names)


def _group(folder: Path) -> Ram | None:
    version_1 = parse_group(
        read(folder / "memory.limit_in_bytes"),
        read(folder / "memory.usage_in_bytes"),
        read(folder / "memory.stat"),
    )
    return version_1 or parse_group(
        read(folder / "memory.max"),
        read(folder / "memory.current"),
        read(folder / "memory.stat"),
    )
