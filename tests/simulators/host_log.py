"""The host's own rsyslog with the file that the stack ships for it, and a way to write to its log.

A real one: its socket stands for /dev/log, and `logger` for the unit whose output the journal
hands on under the unit's name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulators.syslog_collector import RSYSLOGD, WITHIN_S

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "compose" / "rsyslog" / "appliance-checkpoints.conf"
LOGGER = shutil.which("logger") or "logger"
UNIT = "appliance-checkpoints"


@contextlib.contextmanager
def host_log(folder: Path, name: str, port: int, ca: Path) -> Iterator[Path]:
    """Run it, sending to the collector `name` on this machine; yield the socket of its log.

    What waits in the folder from an earlier run is sent too.
    """
    if not any(Path("/usr/lib").glob("*/rsyslog/lmnsd_gtls.so")) and "CI" not in os.environ:
        pytest.skip("rsyslog has no TLS of this kind: apt-get install rsyslog-gnutls")
    folder.mkdir(exist_ok=True)
    socket, config = folder / "log", folder / "rsyslog.conf"
    shipped = SHIPPED.read_text()
    for was, becomes in (
        ('target="siem.example" port="6514"', f'target="127.0.0.1" port="{port}"'),
        ('PermittedPeers="siem.example"', f'PermittedPeers="{name}"'),
        ("/etc/appliance/hospital-ca.pem", str(ca)),
        ('resumeInterval="30"', 'resumeInterval="1"'),
    ):
        assert shipped.count(was) == 1, was
        shipped = shipped.replace(was, becomes)
    config.write_text(
        f'global(workDirectory="{folder}")\n'
        'module(load="imuxsock" SysSock.Use="off")\n'
        f'input(type="imuxsock" socket="{socket}" createPath="off")\n{shipped}'
    )
    with (folder / "rsyslog.log").open("wb") as log:
        process = subprocess.Popen(
            [str(RSYSLOGD), "-n", "-i", str(folder / "pid"), "-f", str(config)],
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            until = time.monotonic() + WITHIN_S
            while not socket.exists():
                assert process.poll() is None, (folder / "rsyslog.log").read_text()
                assert time.monotonic() < until, "rsyslog made no socket"
                time.sleep(0.05)
            yield socket
        finally:
            process.terminate()
            process.wait(WITHIN_S)


def said(folder: Path, words: str) -> None:
    """Return once rsyslog itself has said this."""
    until = time.monotonic() + WITHIN_S
    while words not in (log := (folder / "rsyslog.log").read_text()):
        assert time.monotonic() < until, log
        time.sleep(0.05)


def write(socket: Path, line: str, tag: str = UNIT) -> None:
    """Write one line into the host's log, as the unit of this name does."""
    subprocess.run([LOGGER, "--socket", str(socket), "--tag", tag, "--", line], check=True)
