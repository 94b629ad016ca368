"""The stack as `make up` starts it, on a real Docker engine, under names of its own.

Nothing is replaced: the images of this source tree, the real Compose file, the real firewall.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.simulators.stack import free_port

ROOT = Path(__file__).resolve().parents[2]
PROJECT, BRIDGE = "appliance-test", "aplt"
NAME = "appliance.test"
SERVICES = ("edge", "gateway", "ledger", "engine")
UP_WITHIN_S, COMMAND_WITHIN_S = 300, 60
OPENSSL = shutil.which("openssl") or "openssl"
DOCKER = shutil.which("docker") or "docker"


def why_not() -> str | None:
    """Return why there can be no stack on this machine; None when there can."""
    if shutil.which("docker") is None:
        return "no Docker engine answers here: docker is not installed"
    done = subprocess.run([DOCKER, "info"], capture_output=True, text=True, check=False)
    if done.returncode:
        return "no Docker engine answers here: see `docker info`"
    if os.geteuid() != 0:
        return "only root can load the stack's firewall: run this as root"
    return None


@dataclass
class DockerStack:
    """One running stack; `passwords` maps user name to the password of the first start."""

    folder: Path
    project: str = PROJECT
    bridge: str = BRIDGE
    port: int = field(default_factory=free_port)
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "tls" / "current" / "server.pem"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "APPLIANCE_PROJECT": self.project,
            "APPLIANCE_BRIDGE": self.bridge,
            "APPLIANCE_TLS": str(self.folder / "tls"),
            "APPLIANCE_HTTPS_PORT": str(self.port),
            "APPLIANCE_NAMES": NAME,
        }

    def make_certificate(self) -> None:
        """Make a certificate that vouches for itself, which the edge reads by its group."""
        folder = self.folder / "tls"
        made = folder / "by-hand"
        made.mkdir(parents=True)
        # A link, as the edge wants it: what is replaced is where it leads.
        (folder / "current").symlink_to("by-hand")
        subprocess.run(
            [
                OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
                "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1",
                "-keyout", str(made / "server.key"), "-out", str(self.certificate),
            ],
            check=True, capture_output=True, timeout=COMMAND_WITHIN_S,
        )  # fmt: skip
        for path in (folder, made, *made.iterdir()):
            os.chown(path, 10_002, 10_000)
            path.chmod(0o2750 if path.is_dir() else 0o640)
        self.open_way()

    def open_way(self) -> None:
        """Let others pass through pytest's own folders: the edge and the gateway are others."""
        for parent in (self.folder, *self.folder.parents):
            if parent.stat().st_mode & 0o077 == 0:
                parent.chmod(0o711)

    def up(self) -> str:
        """Start it as an administrator does; return what was said."""
        done = self.script("up.sh", within_s=UP_WITHIN_S)
        self.note_passwords(done.stdout)
        return done.stdout + done.stderr

    def note_passwords(self, said: str) -> None:
        """Keep the first passwords, which are printed once."""
        for line in said.splitlines():
            if found := re.fullmatch(r"(clinician|administrator) (\S+) (\S{4}-\S+)", line):
                self.passwords[found[2]] = found[3]

    def down(self, *words: str) -> None:
        self.script("down.sh", *words, within_s=UP_WITHIN_S)

    def remove(self) -> None:
        """Leave nothing behind: containers, networks, volumes, firewall."""
        self.down("--volumes")
        self.script("firewall.sh", "remove", check=False)

    def script(
        self,
        name: str,
        *words: str,
        within_s: float = COMMAND_WITHIN_S,
        check: bool = True,
        more: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts in compose/; `more` are further environment variables."""
        done = subprocess.run(
            [str(ROOT / "compose" / name), *words],
            env={**self.environment, **(more or {})},
            capture_output=True, text=True, timeout=within_s, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{name} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
        return done

    def container(self, service: str) -> str:
        return f"{self.project}-{service}-1"

    def inside(
        self, service: str, *words: str, given: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's container, as its own user."""
        done = docker("exec", "-i", self.container(service), *words, given=given)
        assert not (check and done.returncode), f"{words}: {done.stdout}{done.stderr}"
        return done

    def python(self, service: str, program: str, *words: str) -> Any:
        """Run a program in a service's container; return what it prints as JSON."""
        said = self.inside(service, "python3", "-", *words, given=program)
        return json.loads(said.stdout)

    def inspected(self, service: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker("inspect", self.container(service)).stdout)[0]
        return found


def docker(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Call the Docker engine."""
    return subprocess.run(
        [DOCKER, *words],
        input=given, capture_output=True, text=True, timeout=COMMAND_WITHIN_S, check=False,
    )  # fmt: skip


def merged(overlay: Path | None = None) -> dict[str, Any]:
    """Return the Compose file as Compose itself understands it, with an overlay if one is given."""
    files: Sequence[str] = [
        str(ROOT / "compose" / "compose.yaml"),
        *([str(overlay)] if overlay else []),
    ]
    words = [word for file in files for word in ("-f", file)]
    done = docker("compose", *words, "--profile", "tools", "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
