"""Which NVIDIA GPUs the driver shows, and whether there is a driver to ask; always within seconds.

Guarantee: a tool that is missing, fails, hangs or writes nonsense gives a reason in words, never
an exception. Not here: whether this build of llama.cpp can use them (`devices`).
"""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

TOOL = "nvidia-smi"
QUERY = "--query-gpu=index,name,memory.total,memory.free,compute_cap"
FORMAT = "--format=csv,noheader,nounits"
FIELDS = 5
WAIT_S = 10.0
MIB = 1_048_576
MAX_SAID = 120

PCI_FOLDER = Path("/sys/bus/pci/devices")
DRIVER_FILE = Path("/proc/driver/nvidia/version")
DEVICE_FILE = Path("/dev/nvidiactl")
NVIDIA = "0x10de"
# PCI class codes of display and 3D controllers begin so; a card's sound device does not count.
DISPLAY = "0x03"


@dataclass(frozen=True)
class SeenGpu:
    """A GPU as its driver shows it; bytes are None where the driver does not say (MIG)."""

    index: int
    name: str
    total_bytes: int | None
    free_bytes: int | None
    compute: str


@dataclass(frozen=True)
class Driver:
    """What the machine and its driver show. `reason` says why no GPU is listed, "" otherwise.

    `cards`: GPUs on the bus, with or without a driver; `loaded`: the kernel has the driver;
    `passed_in`: its device files can be seen from here, which a container may lack.
    """

    gpus: tuple[SeenGpu, ...]
    reason: str
    cards: int = 0
    loaded: bool = False
    passed_in: bool = False


def driver() -> Driver:
    """Ask the bus, the kernel and the driver's own tool."""
    gpus, reason = _ask()
    return Driver(gpus, reason, _cards(), DRIVER_FILE.exists(), DEVICE_FILE.exists())


def parse(text: str) -> tuple[SeenGpu, ...]:
    """Return the GPUs that the tool lists; lines that are none are passed over (pure)."""
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    return tuple(gpu for gpu in map(_gpu, rows) if gpu is not None)


def _gpu(row: list[str]) -> SeenGpu | None:
    # A name may hold a comma, the other fields cannot.
    if len(row) < FIELDS or not row[0].strip().isdecimal():
        return None
    total, free, compute = (item.strip() for item in row[-3:])
    name = ", ".join(item.strip() for item in row[1:-3])
    return SeenGpu(int(row[0]), name, _bytes(total), _bytes(free), compute)


def _bytes(mebibytes: str) -> int | None:
    return int(mebibytes) * MIB if mebibytes.isdecimal() else None


def _ask() -> tuple[tuple[SeenGpu, ...], str]:
    tool = shutil.which(TOOL)
    if tool is None:
        return (), f"{TOOL} is not installed"
    try:
        code, text = _run([tool, QUERY, FORMAT])
    except OSError as error:
        return (), f"{TOOL} cannot be started: {(error.strerror or 'unknown').lower()}"
    if code is None:
        return (), f"{TOOL} did not answer within {WAIT_S:.0f} seconds"
    if code != 0:
        first = next(iter(text.strip().splitlines()), "it said nothing")
        return (), f"{TOOL} failed: {first[:MAX_SAID]}"
    gpus = parse(text)
    return gpus, "" if gpus else f"{TOOL} lists no GPU"


def _run(words: list[str]) -> tuple[int | None, str]:
    """Return exit code and output; no code when the time was over.

    A tool stuck in a broken driver cannot be killed, so nobody waits for its end then.
    """
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    try:
        text, _ = process.communicate(timeout=WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        if process.stdout is not None:
            process.stdout.close()
        return None, ""
    return process.returncode, text


def _cards() -> int:
    try:
        folders = list(PCI_FOLDER.iterdir())
    except OSError:
        return 0
    return sum(
        _read(folder / "vendor") == NVIDIA and _read(folder / "class").startswith(DISPLAY)
        for folder in folders
    )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
