"""Runs a command on a small disk of its own, which is gone with the process."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Needs root, or a kernel that allows user namespaces.
OWN_MOUNTS = ("unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]))


def on_small_disk(folder: Path, options: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that sees a tmpfs with these options (such as `size=6m`) in `folder`."""
    mount = f'mount -t tmpfs -o {options} tmpfs "{folder}" && exec "$@"'
    return subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", mount, "sh", *command],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@functools.cache
def can_mount() -> bool:
    """Tell whether this machine lets the tests mount anything."""
    if shutil.which("unshare") is None:
        return False
    mount = "mount -t tmpfs -o size=1m tmpfs /mnt"
    trial = subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", mount], capture_output=True, timeout=20, check=False
    )
    return trial.returncode == 0
