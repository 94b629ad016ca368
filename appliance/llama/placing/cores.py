"""How many threads a model gets by default: the physical cores this process may really use.

Two hardware threads of one core share its arithmetic units, so a second thread there slows
llama.cpp down. A container's CPU quota and the process's affinity mask both lower the number.
Not here: a guess at what else runs on the machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from appliance.llama.placing.cgroups import folders, read

CPU_FOLDER = Path("/sys/devices/system/cpu")


def default_threads() -> int:
    """Return the number of physical cores within affinity and cgroup quota, at least 1."""
    allowed = os.sched_getaffinity(0)
    return threads_for({cpu: _core_of(cpu) for cpu in allowed}, _quota())


def threads_for(core_of: Mapping[int, str], quota: float | None) -> int:
    """Count distinct cores, and no more than the whole CPUs in `quota` (pure)."""
    physical = len(set(core_of.values()))
    return max(1, physical if quota is None else min(physical, int(quota)))


def parse_cpu_max(text: str) -> float | None:
    """Return the CPUs that a cgroup v2 `cpu.max` allows, None for `max` or nonsense (pure)."""
    quota, _, period = text.strip().partition(" ")
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _core_of(cpu: int) -> str:
    """Name the core a CPU belongs to; each CPU is its own where the kernel does not say."""
    topology = CPU_FOLDER / f"cpu{cpu}" / "topology"
    try:
        package = (topology / "physical_package_id").read_text().strip()
        return f"{package}/{(topology / 'core_id').read_text().strip()}"
    except OSError:
        return f"cpu{cpu}"


def _quota() -> float | None:
    """Return the tightest quota from this process's cgroup up to the root (v2 and v1)."""
    limits = [quota for folder in folders("cpu") for quota in _quotas(folder)]
    return min((limit for limit in limits if limit is not None), default=None)


def _quotas(folder: Path) -> tuple[float | None, float | None]:
    quota, period = read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")
    version_1 = parse_cpu_max(f"{quota.strip()} {period.strip()}")
    return parse_cpu_max(read(folder / "cpu.max")), version_1
