"""compose/airgap.sh, whole: what it says of a closed stack, and of one that somebody has opened."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.simulators.docker_stack import SERVICES, DockerStack, docker
from tests.simulators.stack_visitor import entries, verified

ROLES = {*SERVICES, "host"}
LOOKS_WITHIN_S = 180
# The user as whom the host is looked at; nobody else of this machine has that number.
LOOKER = 10_002
NFT = shutil.which("nft") or "/usr/sbin/nft"
TABLE = "aplt_closed"
# A machine on a hospital's network that leads nowhere, for that one user.
CLOSED = f"""
table inet {TABLE} {{
	chain output {{
		type filter hook output priority 0; policy accept;
		meta skuid {LOOKER} oifname != "lo" drop
	}}
}}
"""


@pytest.fixture
def closed_machine() -> Iterator[None]:
    """Nothing outside answers the host, as at a hospital; whatever network the tests run on."""
    subprocess.run([NFT, "-f", "-"], input=CLOSED, text=True, check=True)
    yield
    subprocess.run([NFT, "delete", "table", "inet", TABLE], check=True)


def look(stack: DockerStack) -> tuple[int, str, dict[str, dict[str, object]]]:
    """Run the script; return its exit code, what it said, and what it recorded by role."""
    before = verified(stack)["entries"]
    done = stack.script("airgap.sh", check=False, within_s=LOOKS_WITHIN_S)
    found = entries(stack, "--action", "airgap.check", "--limit", "50")
    recorded = {
        entry["content"]["role"]: {"outcome": entry["outcome"], **entry["content"]}
        for entry in found
        if entry["seq"] >= before
    }
    return done.returncode, done.stdout + done.stderr, recorded


@pytest.mark.usefixtures("closed_machine")
def test_a_closed_stack_is_told_to_be_closed(stack: DockerStack) -> None:
    """Exit 0, and the record holds what was seen from every part and from the host."""
    code, said, recorded = look(stack)
    assert code == 0, said
    assert set(recorded) == ROLES
    assert {facts["outcome"] for facts in recorded.values()} == {"success"}
    assert all(int(str(facts["checks"])) > 10 for facts in recorded.values())
    assert "no way out was found; the record holds the reports" in said


@pytest.mark.usefixtures("closed_machine")
def test_a_part_on_another_network_is_named(
    stack: DockerStack, open_container: str, world: None
) -> None:
    """The gateway, which somebody has connected to a network that leads out."""
    network = f"{stack.project}-open"
    docker("network", "connect", network, stack.container("gateway"))
    try:
        code, said, recorded = look(stack)
    finally:
        docker("network", "disconnect", network, stack.container("gateway"))
    assert (code, "there may be a way out: gateway\n" in said) == (1, True)
    opened = {role for role, facts in recorded.items() if facts["outcome"] == "failure"}
    assert opened == {"gateway"}
    assert any("8.8.8.8" in str(check) for check in recorded["gateway"]["open"])  # type: ignore[attr-defined]  # a list of names


@pytest.mark.usefixtures("closed_machine")
def test_a_missing_firewall_is_named(stack: DockerStack) -> None:
    """The edge reaches its host then, and the last line says what to load."""
    stack.script("firewall.sh", "remove")
    try:
        code, said, recorded = look(stack)
    finally:
        stack.script("firewall.sh", "load")
    (named,) = re.findall(r"^error: there may be a way out: (.*)$", said, re.M)
    assert code == 1
    assert {"edge", "firewall"} <= set(named.split()) <= {"gateway", "edge", "firewall"}
    assert "the firewall of the stack is not loaded" in said
    assert recorded["edge"]["outcome"] == "failure"
    assert recorded["ledger"]["outcome"] == recorded["engine"]["outcome"] == "success"


@pytest.mark.usefixtures("world")
def test_a_host_with_a_way_out_is_named(stack: DockerStack) -> None:
    """Containers are closed in all the same; the machine is not where it belongs."""
    code, said, recorded = look(stack)
    assert (code, "there may be a way out: host\n" in said) == (1, True)
    opened = {role for role, facts in recorded.items() if facts["outcome"] == "failure"}
    assert opened == {"host"}
    assert "take the machine off that network" in said


@pytest.mark.usefixtures("closed_machine")
def test_a_part_that_cannot_be_looked_at_is_named(stack: DockerStack) -> None:
    """Silence is not taken for safety: without a report of the engine the script fails."""
    docker("pause", stack.container("engine"))
    try:
        code, said, recorded = look(stack)
    finally:
        docker("unpause", stack.container("engine"))
    assert (code, "there may be a way out: engine\n" in said) == (1, True)
    assert set(recorded) == ROLES - {"engine"}
