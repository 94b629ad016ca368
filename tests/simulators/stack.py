"""The whole appliance as a user starts it: `appliance run` in a process of its own.

Nothing is replaced: real ledger, real engine, real gateway, on a free loopback port and a fresh
state folder.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.simulators.command_line import command
from tests.simulators.kept_folder import kept_folder

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "models" / "demo"
APPLIANCE = Path(sys.executable).with_name("appliance")
START_WITHIN_S = 90


def free_port() -> int:
    """Return a loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@functools.cache
def _made() -> tuple[Path, dict[str, str]]:
    """Make a state folder with the demo, as a first start does; return it and its passwords."""
    folder = kept_folder()
    words = ["--state", str(folder / "state"), "init", "--demo", str(DEMO), "--json"]
    done = command(words, os.environ)
    credentials = json.loads(done.stdout)["credentials"]
    return folder / "state", {item["name"]: item["password"] for item in credentials}


@dataclass
class Stack:
    """One running appliance; `passwords` maps user name to the password shown at first start."""

    state: Path
    port: int = field(default_factory=free_port)
    settings: dict[str, str] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    _readers: list[threading.Thread] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @classmethod
    def made_before(cls, state: Path) -> Stack:
        """Return a stack on a copy of a state folder that was made once: quicker to start."""
        made, passwords = _made()
        shutil.copytree(made, state)
        return cls(state, passwords=dict(passwords))

    def launch(self) -> subprocess.Popen[str]:
        """Start everything and return at once."""
        self.printed, self.said = [], []
        self.process = subprocess.Popen(
            [str(APPLIANCE), "--state", str(self.state), "run", "--demo", "models/demo"],
            cwd=ROOT,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for stream, lines in (
            (self.process.stdout, self.printed),
            (self.process.stderr, self.said),
        ):
            threading.Thread(target=_collect, args=(stream, lines), daemon=True).start()
        return self.process

    def start(self) -> Stack:
        """Start everything and return once the address has been printed."""
        self.launch()
        self._await_address()
        for line in self.printed:
            role, _, rest = line.partition(" ")
            if role != "address":
                name, _, password = rest.partition(" ")
                self.passwords[name] = password
        return self

    def stop(self) -> int:
        """Press Ctrl+C and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(30)
        for reader in self._readers:
            reader.join()
        self.process = None
        return code

    def run(self, *arguments: str, check: bool = True, **extra: Any) -> Any:
        """Run one command on this state folder in a process of its own; return how it ended."""
        return subprocess.run(
            [str(APPLIANCE), "--state", str(self.state), *arguments],
            cwd=ROOT,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=check,
            **extra,
        )

    def command(self, *arguments: str, **extra: Any) -> subprocess.CompletedProcess[str]:
        """Run one command on this state folder in this process; see `command_line`."""
        return command(["--state", str(self.state), *arguments], self._environment(), **extra)

    def api_key(self, user: str = "demo") -> str:
        """Return a fresh API key of this user."""
        made = json.loads(self.command("key", "create", "--user", user, "--json").stdout)
        return str(made["key"])

    def record(self) -> list[dict[str, Any]]:
        """Return every entry of the record, oldest first."""
        exported = self.command("audit", "export", "--format", "ndjson").stdout
        return [json.loads(line) for line in exported.splitlines()]

    def parts(self) -> dict[str, list[int]]:
        """Return the process ids of each part: gunicorn's master first, then its worker.

        `engine` holds the processes of the models; `model` is where the active one answers.
        """
        found: dict[str, list[int]] = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            words = _command_of(folder)
            if str(self.state) in words and "serve" in words:
                part = words[words.index("serve") + 1]
                found.setdefault(part, []).append(int(folder.name))
        return {part: sorted(pids) for part, pids in found.items()}

    @contextlib.contextmanager
    def halted(self, part: str) -> Iterator[None]:
        """Let a part stand still, as if it had much to do."""
        worker = self.parts()[part][-1]
        os.kill(worker, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(worker, signal.SIGCONT)

    @contextlib.contextmanager
    def slowly(self, part: str) -> Iterator[None]:
        """Let a part run for 2 ms out of every 100, as a far larger model would feel."""
        done = threading.Event()
        worker = self.parts()[part][-1]

        def brake() -> None:
            # The worker may be killed meanwhile; then there is nothing left to slow down.
            with contextlib.suppress(ProcessLookupError):
                while not done.wait(0.002):
                    os.kill(worker, signal.SIGSTOP)
                    done.wait(0.1)
                    os.kill(worker, signal.SIGCONT)

        thread = threading.Thread(target=brake, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "APPLIANCE" not in name}
        return {
            **kept,
            "APPLIANCE_PORT": str(self.port),
            "APPLIANCE_ENGINE__THREADS": "1",
            **self.settings,
        }

    def _await_address(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_WITHIN_S
        while not any(line.startswith("address ") for line in self.printed):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("the appliance did not start:\n" + "\n".join(self.said))
            time.sleep(0.05)
        # The credentials follow the address at once, in the same write.
        time.sleep(0.2)


def _collect(stream: Any, lines: list[str]) -> threading.Thread:
    def read() -> None:
        with stream:
            for line in stream:
                lines.append(line.rstrip("\n"))  # noqa: PERF401  # each as soon as it comes

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader


def _command_of(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []
