"""`doctor --airgap` in real network namespaces: closed ones pass, and each way out is named."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.namespaces import WORLD, Container, refused
from tests.simulators.stack import APPLIANCE

Lines = dict[str, dict[str, Any]]
# Ports below 1024 belong to whoever may administer the network.
PUBLIC = ("1.1.1.1", "9.9.9.9", "198.41.0.4", "169.254.169.254", "10.9.0.9")
PUBLIC6 = ("2606:4700:4700::1111", "2620:fe::fe")
PORTS = (
    "tcp:1.1.1.1:443", "tcp:[2606:4700:4700::1111]:443", "dns:9.9.9.9:53", "dns:198.41.0.4:53",
    "tcp:169.254.169.254:80", "tcp:10.9.0.1:22", "dns:10.9.0.1:53", "tcp:10.9.0.9:8443",
    "dns:[2620:fe::fe]:53",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    """Skip where the kernel gives an ordinary user no network of its own."""
    if refused():
        # A container that gives no namespaces; .ci/run accepts these words.
        pytest.skip(f"no network of its own can be made here: {refused()}")


def look(
    container: Container, role: str, state: Path
) -> tuple[Lines, subprocess.CompletedProcess[str]]:
    """Run the check in a container that has no state folder; return its lines by name."""
    words = [str(APPLIANCE), "--state", str(state / "none"), "doctor", "--airgap"]
    done = container.run(*words, "--role", role, "--json")
    assert done.stdout, done.stderr
    value = json.loads(done.stdout)
    assert value["role"] == role
    return {line["check"]: line for line in value["lines"]}, done


def open_world(folder: Path) -> Container:
    """A container whose cable leads to all the world, with much else that must not be."""
    (folder / "resolv.conf").write_text("nameserver 10.9.0.1\n")
    words = [port.replace("[", "").replace("]", "") for port in PORTS]
    return Container(
        cable=True,
        outside=(
            "ip address add 10.9.0.1/24 dev cable",
            "ip -6 address add fd09::1/64 dev cable nodad",
            *(f"ip address add {address}/32 dev cable" for address in PUBLIC),
            *(f"ip -6 address add {address}/128 dev cable nodad" for address in PUBLIC6),
            f"mount --bind {folder}/resolv.conf \"$(readlink -f /etc/resolv.conf)\"",
            f"mkfifo {folder}/ready",
            f"{shlex.join([*WORLD, *words])} >{folder}/ready & world=$!",
            f"read _ <{folder}/ready",
        ),
        inside=(
            "in_it ip -6 address add fd09::2/64 dev eth0 nodad",
            "in_it ip route add default via 10.9.0.1",
            "in_it ip -6 route add default via fd09::1",
            "in_it sh -c 'echo 1000 1000 >/proc/sys/net/ipv4/ping_group_range'",
        ),
        environment=("HTTPS_PROXY=http://10.9.0.1:3128", "OTEL_EXPORTER_OTLP_ENDPOINT=http://x"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def in_the_open(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """What is found in an engine's container that was joined to the world."""
    folder = tmp_path_factory.mktemp("world")
    lines, done = look(open_world(folder), "engine", folder)
    assert done.returncode == 1, done.stderr
    return lines


def test_with_loopback_alone_everything_passes(tmp_path: Path) -> None:
    """No network, no rights, read-only: every line is ok, and the exit code 0."""
    lines, done = look(Container(), "engine", tmp_path)
    assert {line["verdict"] for line in lines.values()} == {"ok"}, done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("check", "found"),
    [
        ("tcp 1.1.1.1:443", "connected"),
        ("tcp 1.1.1.1:80", "refused, so it was reached"),
        ("tcp [2606:4700:4700::1111]:443", "connected"),
        ("udp 9.9.9.9:53", "answered"),
        ("udp 198.41.0.4:53", "answered"),
        ("udp [2620:fe::fe]:53", "answered"),
        ("udp 1.1.1.1:53", "refused, so it was reached"),
        ("icmp 9.9.9.9", "answered"),
        ("tcp 169.254.169.254:80", "connected"),
        ("dns 10.9.0.1:53", "answered"),
        ("tcp 10.9.0.1:22", "connected"),
        ("tcp 10.9.0.1:443", "refused, so it was reached"),
        ("udp 10.9.0.1:53", "answered"),
        ("icmp 10.9.0.1", "answered"),
        ("tcp 10.9.0.9:8443 (edge)", "connected"),
        ("tcp 10.9.0.9:8443 (gateway)", "connected"),
        ("networks", "eth0"),
        ("environment", "HTTPS_PROXY, OTEL_EXPORTER_OTLP_ENDPOINT"),
    ],
)
def test_each_way_out_is_found_and_named(in_the_open: Lines, check: str, found: str) -> None:
    """With what to do about it."""
    line = in_the_open[check]
    assert (line["verdict"], line["found"]) == ("fail", found)
    assert line["next"]


def test_what_was_in_order_in_the_open_stays_in_order(in_the_open: Lines) -> None:
    """One fault does not hide what is well, nor what nobody answered."""
    for check in ("the check itself", "capabilities", "seccomp", "user", "root file system",
                  "tcp 8.8.8.8:53", "open ports"):  # fmt: skip
        assert in_the_open[check]["verdict"] == "ok", check


def test_a_route_on_which_nobody_answers_is_no_way_out(tmp_path: Path) -> None:
    """Docker 20.10 gives internal networks a default route; firewalls drop. That is said."""
    silent = Container(
        cable=True,
        outside=("ip address add 10.9.0.77/24 dev cable",),
        inside=("in_it ip route add default via 10.9.0.254",),
    )
    lines, done = look(silent, "gateway", tmp_path)
    assert lines["default route"]["verdict"] == "warn"
    assert "10.9.0.254 on eth0" in lines["default route"]["found"]
    assert {line["verdict"] for line in lines.values()} == {"ok", "warn"}, done.stdout
    assert done.returncode == 0


def test_rights_that_were_left_are_found(tmp_path: Path) -> None:
    """A container without the Compose file's restrictions fails line by line."""
    lines, done = look(Container(confined=False), "engine", tmp_path)
    wrong = {check for check, line in lines.items() if line["verdict"] == "fail"}
    assert wrong == {"capabilities", "new privileges", "seccomp", "root file system"}
    assert done.returncode == 1


def test_an_open_port_is_found(tmp_path: Path) -> None:
    """The ledger listens on nothing but its sockets."""
    words = shlex.join([*WORLD, "tcp:0.0.0.0:8099"])
    listening = Container(
        inside=(
            f"mkfifo {tmp_path}/ready",
            f"nsenter --net=/proc/$inside/ns/net {words} >{tmp_path}/ready & world=$!",
            f"read _ <{tmp_path}/ready",
        )
    )
    lines, _ = look(listening, "ledger", tmp_path)
    assert lines["open ports"]["verdict"] == "fail"
    assert lines["open ports"]["found"] == "tcp 0.0.0.0:8099"


def test_without_loopback_the_check_does_not_pass(tmp_path: Path) -> None:
    """Probes that cannot find an open port prove nothing by finding none."""
    lines, done = look(Container(inside=("in_it ip link set lo down",)), "engine", tmp_path)
    assert lines["the check itself"]["verdict"] == "fail"
    assert done.returncode == 1


def test_another_process_is_looked_at_in_its_network(tmp_path: Path) -> None:
    """From outside, by its number: an image without this program is checked as well."""
    # The one looked at is the sleeper that holds the container's network; we stand in the world's.
    outer = Container(cable=True, confined=False, outside=("ip address add 10.9.0.1/24 dev cable",))
    words = [str(APPLIANCE), "--state", str(tmp_path / "none"), "doctor", "--airgap",
             "--role", "engine", "--json", "--pid"]  # fmt: skip
    done = outer.run("sh", "-c", f"exec nsenter --net=/proc/$PPID/ns/net {shlex.join(words)} "
                     "$(pgrep -P $PPID -x sleep)")  # fmt: skip
    lines = {line["check"]: line for line in json.loads(done.stdout)["lines"]}
    assert lines["networks"]["found"] == "eth0", done.stderr
    assert lines["tcp 10.9.0.1:22"]["found"] == "refused, so it was reached"
