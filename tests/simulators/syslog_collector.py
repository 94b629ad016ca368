"""A real rsyslog as a hospital's collector: TCP or TLS, each message as one line of JSON."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.authority import Authority
from tests.simulators.stack import free_port

RSYSLOGD = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin:/bin")
WITHIN_S = 30
# Every part of the message as rsyslog itself parsed it.
TEMPLATE = (
    'template(name="parsed" type="list" option.jsonf="on") {\n'
    '  property(outname="pri" name="pri" format="jsonf")\n'
    '  property(outname="host" name="hostname" format="jsonf")\n'
    '  property(outname="app" name="app-name" format="jsonf")\n'
    '  property(outname="msgid" name="msgid" format="jsonf")\n'
    '  property(outname="structured" name="structured-data" format="jsonf")\n'
    '  property(outname="message" name="msg" format="jsonf")\n}\n'
)


@dataclass(frozen=True)
class Listening:
    """A collector that runs: where, and what it wrote."""

    port: int
    output: Path

    def messages(self, count: int) -> list[dict[str, Any]]:
        """Return the first `count` messages once they are written."""
        until = time.monotonic() + WITHIN_S
        while True:
            lines = self.output.read_text().splitlines() if self.output.exists() else []
            if len(lines) >= count:
                return [json.loads(line) for line in lines[:count]]
            assert time.monotonic() < until, f"{len(lines)} of {count} messages came"
            time.sleep(0.05)


@contextlib.contextmanager
def collector(
    folder: Path, authority: Authority | None = None, *, ask_certificate: bool = False
) -> Iterator[Listening]:
    """Run rsyslog in `folder`: TLS under `authority`, or plain TCP without one."""
    if RSYSLOGD is None and "CI" not in os.environ:
        pytest.skip("rsyslog is not installed: apt-get install rsyslog rsyslog-openssl")
    folder.mkdir()
    port, output = free_port(), folder / "received.json"
    config = folder / "rsyslog.conf"
    config.write_text(
        f'global(workDirectory="{folder}" maxMessageSize="64k"{_tls(folder, authority)})\n'
        f'module(load="imtcp" {_mode(authority, ask_certificate)})\n'
        f'{TEMPLATE}input(type="imtcp" port="{port}" address="127.0.0.1")\n'
        f'action(type="omfile" file="{output}" template="parsed")\n'
    )
    with (folder / "rsyslog.log").open("wb") as log:
        process = subprocess.Popen(
            [str(RSYSLOGD), "-n", "-i", str(folder / "pid"), "-f", str(config)],
            stdout=log,
            stderr=log,
        )
        try:
            _await(port, process, folder)
            yield Listening(port, output)
        finally:
            process.terminate()
            process.wait(WITHIN_S)


def _tls(folder: Path, authority: Authority | None) -> str:
    if authority is None:
        return ""
    cert, key = authority.certify(folder, "collector")
    return (
        f' defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{authority.ca}"'
        f' defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}"'
    )


def _mode(authority: Authority | None, ask_certificate: bool) -> str:
    if authority is None:
        return ""
    mode = "x509/certvalid" if ask_certificate else "anon"
    return f'streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="{mode}"'


def _await(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + WITHIN_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > until:
            raise AssertionError((folder / "rsyslog.log").read_text())
        time.sleep(0.05)
