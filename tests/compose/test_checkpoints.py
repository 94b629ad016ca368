"""The record's checkpoints on their way out of the stack, and verifying where the record is."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess

from tests.simulators.docker_stack import DockerStack
from tests.simulators.host_log import ROOT


def printed(stack: DockerStack) -> str:
    """Return the first line that the host's unit would hand on."""
    reading = subprocess.Popen(
        [str(ROOT / "compose" / "checkpoints.sh")],
        env=stack.environment, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert reading.stdout is not None
        return reading.stdout.readline()
    finally:
        os.killpg(reading.pid, signal.SIGTERM)
        reading.communicate()


def test_what_the_ledger_prints_is_an_anchor(stack: DockerStack) -> None:
    """Read on the host, carried anywhere, and brought back to where the record is."""
    [encoded] = re.findall(r' note="([^"]+)"', printed(stack))
    said = stack.inside(
        "ledger", "appliance", "audit", "verify", "--anchor", "-", "--json",
        given=base64.b64decode(encoded).decode(),
    )  # fmt: skip
    found = json.loads(said.stdout)
    assert (found["whole"], found["recorded"], found["anchored"] > 0) == (True, True, True)


def test_only_the_ledgers_container_verifies(stack: DockerStack) -> None:
    """There it is recorded; the gateway has no file to verify and says where it is."""
    said = stack.inside("gateway", "appliance", "audit", "verify", check=False)
    assert (said.returncode, "the ledger has a container of its own" in said.stderr) == (1, True)
    stack.inside("ledger", "appliance", "audit", "verify")
    words = ("appliance", "audit", "list", "--action", "record.verify", "--json")
    entries = json.loads(stack.inside("gateway", *words).stdout)["entries"]
    assert entries[-1]["outcome"] == "success"


def test_the_doctor_tells_a_printed_line_as_printed(stack: DockerStack) -> None:
    """From the ledger's own word, though another container is asked."""
    said = stack.inside("gateway", "appliance", "doctor", "--json", check=False)
    found = {item["check"]: item for item in json.loads(said.stdout)}["anchors"]
    assert "nobody here knows whether it took them" in found["found"]
