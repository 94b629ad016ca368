"""The machine: can its processor run what travels on the stick?"""

from __future__ import annotations

from pathlib import Path

from appliance.cli.checks.finding import Finding, Patient, ok, warn

CPU_INFO = Path("/proc/cpuinfo")
NEEDED = ("avx2", "fma", "f16c", "bmi2")


def processor(_patient: Patient) -> Finding:
    """The processor has what released images are compiled for."""
    return judge(CPU_INFO.read_text(encoding="utf-8", errors="replace"))


def judge(text: str) -> Finding:
    """Return the finding for the text of /proc/cpuinfo."""
    flags = _flags(text)
    missing = [name for name in NEEDED if name not in flags]
    if not flags:
        return warn("processor", "it is not an x86 processor", "build the engine on this machine")
    if missing:
        return warn(
            "processor",
            f"it has no {', '.join(name.upper() for name in missing)}",
            "build the engine on this machine; released images would not start here",
        )
    return ok("processor", f"it has {', '.join(name.upper() for name in NEEDED)}")


def _flags(text: str) -> frozenset[str]:
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
