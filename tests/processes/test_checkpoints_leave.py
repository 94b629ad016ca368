"""From what the ledger prints to the hospital's collector, over TLS, and back as an anchor."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.simulators.authority import Authority
from tests.simulators.host_log import ROOT, host_log, said, write
from tests.simulators.parted_state import PartedState
from tests.simulators.syslog_collector import collector

UNITS = ROOT / "compose" / "systemd"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def test_a_printed_checkpoint_comes_back_as_an_anchor(tmp_path: Path, authority: Authority) -> None:
    """Ledger, host's rsyslog, TLS, collector's rsyslog: the record holds against what arrived."""
    (tmp_path / "state").mkdir()
    parted = PartedState(tmp_path / "state", {"APPLIANCE_LEDGER__ANCHOR_CONSOLE": "true"})
    parted.start()
    parted.stop()  # two lines: the first at the start, the last at the end
    with (
        collector(tmp_path / "siem", authority) as siem,
        host_log(tmp_path / "host", "localhost", siem.port, authority.ca) as log,
    ):
        for line in parted.lines(2):
            write(log, line)
        received = siem.messages(2)
    last = received[-1]
    # In the form in which an appliance with a network sends it: one rule for both.
    assert (last["pri"], last["app"], last["msgid"]) == ("109", "appliance", "checkpoint")
    [encoded] = re.findall(r'note="([^"]+)"', last["structured"])
    note = base64.b64decode(encoded)
    done = parted.given("ledger", note, "audit", "verify", "--anchor", "-", "--json")
    verified = json.loads(done.stdout)
    assert f'size="{verified["anchored"]}"' in last["structured"]
    assert verified["anchored"] == verified["signed"] > 0


def test_nothing_else_of_the_hosts_log_is_sent(tmp_path: Path, authority: Authority) -> None:
    """Neither what others log, even in the same words, nor what the unit says besides."""
    checkpoint = '[checkpoint@32473 size="1"] a checkpoint'
    with (
        collector(tmp_path / "siem", authority) as siem,
        host_log(tmp_path / "host", "localhost", siem.port, authority.ca) as log,
    ):
        write(log, checkpoint, tag="somebody")
        write(log, "error: the ledger does not run")
        write(log, checkpoint.replace('"1"', '"2"'))
        [only] = siem.messages(1)
    assert 'size="2"' in only["structured"]
    assert len(siem.output.read_text().splitlines()) == 1


def test_it_waits_for_the_right_collector(tmp_path: Path, authority: Authority) -> None:
    """One of another name, certified by the same authority, gets nothing; the line is kept."""
    host = tmp_path / "host"
    with collector(tmp_path / "siem", authority) as siem:
        with host_log(host, "other.example", siem.port, authority.ca) as log:
            write(log, '[checkpoint@32473 size="3"] a checkpoint')
            said(host, "peer name not authorized")
        assert not siem.output.exists()
        with host_log(host, "localhost", siem.port, authority.ca):
            [received] = siem.messages(1)
    assert 'size="3"' in received["structured"]


@pytest.mark.parametrize("unit", sorted(path.name for path in UNITS.iterdir()))
def test_the_units_are_sound(tmp_path: Path, unit: str) -> None:
    """systemd itself reads them, and has nothing to say."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")  # nothing else reads units; CI has it
    for path in UNITS.iterdir():
        text = path.read_text().replace("/opt/appliance", str(ROOT))
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        [analyze, "verify", str(tmp_path / unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
