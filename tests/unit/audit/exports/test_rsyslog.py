"""Syslog through a real rsyslog: what it reads from the wire is what was recorded.

rsyslogd runs as an ordinary process with a configuration of its own, listens on loopback, parses
the structured data and writes what it understood as JSON.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.audit import exports
from appliance.audit.chain import Stored
from appliance.audit.exports import syslog
from tests.unit.audit.exports import entries
from tests.unit.audit.exports.test_syslog import typed

DEADLINE_S = 60
CONFIG = """\
global(workDirectory="{folder}" maxMessageSize="256k")
module(load="imtcp" maxFrameSize="262144")
module(load="mmpstrucdata")
template(name="understood" type="list" option.jsonf="on") {{
  property(outname="pri" name="pri" format="jsonf")
  property(outname="t" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
  property(outname="data" name="$!rfc5424-sd" format="jsonf")
}}
ruleset(name="received") {{
  action(type="mmpstrucdata" sd_name.lowercase="off")
  action(type="omfile" file="{folder}/received" template="understood")
}}
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="{folder}/port"
      ruleset="received")
"""

# Takes octets for the wire and the number of messages; returns what rsyslog understood of each.
Deliver = Callable[[bytes, int], list[dict[str, str]]]


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes], what: str) -> None:
    """Return as soon as the condition holds; fail when rsyslog ends or never gets there."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert process.poll() is None, "rsyslogd ended"
        assert time.monotonic() < end, f"rsyslogd did not {what} within {DEADLINE_S} s"
        time.sleep(0.01)


@pytest.fixture
def deliver(tmp_path: Path) -> Iterator[Deliver]:
    """An rsyslog that listens, as a function that sends to it."""
    program = shutil.which("rsyslogd", path="/usr/sbin:/sbin:/usr/bin:/usr/local/sbin")
    assert program, "rsyslogd is not installed: apt-get install rsyslog"
    config, port, received = tmp_path / "conf", tmp_path / "port", tmp_path / "received"
    config.write_text(CONFIG.format(folder=tmp_path))
    process = subprocess.Popen(
        [program, "-n", "-f", str(config), "-i", str(tmp_path / "pid")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def send(sent: bytes, count: int) -> list[dict[str, str]]:
        until(lambda: port.exists() and port.read_text().strip() != "", process, "listen")
        with socket.create_connection(("127.0.0.1", int(port.read_text()))) as connection:
            connection.sendall(sent)
        until(
            lambda: received.exists() and received.read_bytes().count(b"\n") >= count,
            process,
            f"write {count} lines",
        )
        return [json.loads(line) for line in received.read_bytes().splitlines()]

    yield send
    process.terminate()
    process.wait(DEADLINE_S)


def check(arrived: list[dict[str, str]], stored: list[Stored], host: str) -> None:
    """Check that every message says what its entry says."""
    assert len(arrived) == len(stored)
    for found, one in zip(arrived, stored, strict=True):
        expected = entries.stated(one)
        assert typed(json.loads(found["data"])[syslog.SD_ID]) == expected
        assert found["t"] == expected["t"]
        assert (found["host"], found["app"]) == (host, "appliance")
        assert found["msgid"] == expected["action"]
        assert found["msg"].lstrip("\ufeff") == f"{expected['action']} {expected['outcome']}"


def test_rsyslog_reads_every_field(deliver: Deliver) -> None:
    """Each action, each outcome, each awkward text and the longest arrive as recorded."""
    longest = entries.sample(content={"note": "病" * 20_000})
    stored = [*entries.of_every_action(), *entries.awkward(), longest]
    messages = [syslog.line(one, "ward-3.example") for one in stored]
    framed = b"".join(b"%d %s" % (len(message), message) for message in messages)  # RFC 6587
    check(deliver(framed, len(stored)), stored, "ward-3.example")


def test_exported_file_can_be_sent_as_it_is(deliver: Deliver) -> None:
    """A file of messages, each ended by its line feed, is what rsyslog takes too."""
    stored = [*entries.of_every_action(), *entries.awkward()]
    sent = b"".join(exports.export("syslog", stored))
    check(deliver(sent, len(stored)), stored, "St._Mary's_Ward_3")
