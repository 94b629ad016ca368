"""A container made of the kernel's own parts, and a small world outside of it. Needs no root.

A user namespace gives the right to make network and mount namespaces. In them stand: the world,
with addresses that answer, and the container, joined to it by a pair of virtual cables or by
nothing. The program in the container holds no capability, cannot gain any, is filtered, runs as
an ordinary user, and finds its root file system read-only; each of these can be left out.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEW = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps")
PRIVILEGES = (
    "setpriv", "--no-new-privs", "--ambient-caps=-all", "--inh-caps=-all", "--bounding-set=-all",
)  # fmt: skip
FILTERED = (sys.executable, "-m", "tests.simulators.filtered")
WORLD = (sys.executable, "-m", "tests.simulators.world")
LIMIT_S = 90


@dataclass(frozen=True)
class Container:
    """What the container has. `outside` and `inside` are shell lines run before the program."""

    cable: bool = False
    outside: Sequence[str] = ()
    inside: Sequence[str] = ()
    environment: Sequence[str] = ()
    confined: bool = True

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it and return how it ended."""
        lines = [
            "set -eu",
            "unshare --net sleep 80 &",
            "inside=$!",
            'until [ "$(readlink /proc/$inside/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do',
            "    sleep 0.02",
            "done",
            'in_it() { nsenter --net="/proc/$inside/ns/net" "$@"; }',
            "ip link set lo up",
            "in_it ip link set lo up",
            *(self._cable() if self.cable else ()),
            *self.outside,
            *self.inside,
            *(["mount -o remount,bind,ro /"] if self.confined else ()),
            f"{self._in_it(command)} && status=0 || status=$?",
            'kill "$inside" ${world:-}',
            "exit $status",
        ]
        return subprocess.run(
            [*NEW, "--net", "--mount", "sh", "-c", "\n".join(lines)],
            cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False,
            env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "HOME": "/nonexistent"},
        )  # fmt: skip

    def _in_it(self, command: Sequence[str]) -> str:
        held = (*PRIVILEGES, *FILTERED) if self.confined else ()
        return "in_it " + shlex.join(["env", *self.environment, *held, *command])

    def _cable(self) -> list[str]:
        return [
            "ip link add cable type veth peer name eth0 netns $inside",
            "ip link set cable up",
            "in_it ip address add 10.9.0.2/24 dev eth0",
            "in_it ip link set eth0 up",
        ]


@cache
def refused() -> str:
    """Return why no such container can be made here, '' when it can."""
    done = Container(cable=True, outside=("ip address add 10.9.0.1/24 dev cable",)).run("true")
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
