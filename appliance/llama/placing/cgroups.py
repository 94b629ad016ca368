"""Where the kernel keeps the limits of this process: its cgroups up to the root, of version 1 or 2.

A limit anywhere above counts too. A file that is not there reads as empty: no limit.
"""

from __future__ import annotations

from pathlib import Path

CGROUP_FOLDER = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def folders(controller: str) -> list[Path]:
    """Return the folders that may hold a limit of this kind (`cpu`, `memory`), nearest first."""
    found = []
    for line in read(OWN_CGROUP).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            found += _up(CGROUP_FOLDER, path)
        elif controller in controllers.split(","):
            found += _up(CGROUP_FOLDER / controller, path)
    return found


def read(path: Path) -> str:
    """Return the text of a file of the kernel, nothing when it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _up(root: Path, path: str) -> list[Path]:
    folder = root / path.lstrip("/")
    return [place for place in (folder, *folder.parents) if place.is_relative_to(root)]
