"""No way out: what a program in a container tries, and what it gets.

Each attempt is made from an open container first, where it succeeds: so it could succeed here.
"""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator

import pytest

from tests.simulators.docker_stack import BRIDGE, SERVICES, DockerStack, docker
from tests.simulators.outside_world import HERE, PORTS, PUBLIC, Listener, host_addresses, listening

HOST_PORT = 4343
# Tries TCP and UDP to each place given as HOST:PORT; prints those that answered.
ATTEMPT = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def tcp(host, port):
    socket.create_connection((host, port), 2).close()
def udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.settimeout(2)
        caller.connect((host, port))
        caller.send(b"?")
        caller.recv(16)
def attempt(kind, place):
    host, _, port = place.rpartition(":")
    try:
        kind(host, int(port))
    except OSError:
        return None
    return f"{kind.__name__} {place}"
with ThreadPoolExecutor(32) as many:
    tried = [many.submit(attempt, kind, place) for place in sys.argv[1:] for kind in (tcp, udp)]
    print(json.dumps([one.result() for one in tried if one.result()]))
"""
LOOK_UP = """
import json, socket, sys
try:
    found = [item[4][0] for item in socket.getaddrinfo(sys.argv[1], 80)]
except OSError:
    found = []
print(json.dumps(found))
"""
OUTSIDE = tuple(f"{host}:{port}" for host in PUBLIC for port in PORTS)


def answered(container: str, places: tuple[str, ...]) -> list[str]:
    """Return which of these places answer a container, over TCP and UDP."""
    done = docker("exec", "-i", container, "python3", "-", *places, given=ATTEMPT)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def on_host(stack: DockerStack, open_container: str) -> Iterator[None]:
    """A service of this machine, on every address of it."""
    with listening(host_addresses(), (HOST_PORT,)):
        yield


@pytest.mark.usefixtures("world")
def test_an_open_container_reaches_the_outside(open_container: str) -> None:
    """What the tests below call unreachable is there, over TCP and UDP, at every port."""
    assert len(answered(open_container, OUTSIDE)) == 2 * len(OUTSIDE)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("service", SERVICES)
def test_no_container_reaches_the_outside(stack: DockerStack, service: str) -> None:
    """Neither TCP nor UDP, to no public address, at no port."""
    assert answered(stack.container(service), OUTSIDE) == []


@pytest.mark.usefixtures("on_host")
def test_an_open_container_reaches_the_host(open_container: str, stack: DockerStack) -> None:
    """By the address of its own bridge: the way that `internal` leaves open."""
    places = tuple(f"{address}:{HOST_PORT}" for address in host_addresses())
    assert f"tcp {HERE}:{HOST_PORT}" in answered(open_container, places)


@pytest.mark.usefixtures("on_host", "world")
@pytest.mark.parametrize("service", SERVICES)
def test_no_container_reaches_the_host(stack: DockerStack, service: str) -> None:
    """At no address that this machine has, its bridges' among them; nor the port it publishes."""
    ports = (HOST_PORT, stack.port)
    places = [f"{host}:{port}" for host in host_addresses() for port in ports]
    elsewhere = tuple(place for place in places if not place.startswith("127."))
    assert len(elsewhere) >= 6
    assert answered(stack.container(service), elsewhere) == []


@pytest.mark.usefixtures("on_host")
def test_without_the_firewall_the_host_is_reached(stack: DockerStack) -> None:
    """So it is the firewall that keeps it closed, and its check says when it is gone."""
    bridges = tuple(f"{address}:{HOST_PORT}" for address in host_addresses())
    stack.script("firewall.sh", "remove")
    try:
        assert answered(stack.container("edge"), bridges)
        assert stack.script("firewall.sh", "check", check=False).returncode == 1
    finally:
        stack.script("firewall.sh", "load")
    assert stack.script("firewall.sh", "check").returncode == 0
    outside = tuple(place for place in bridges if not place.startswith("127."))
    assert answered(stack.container("edge"), outside) == []


def test_a_changed_firewall_is_told(stack: DockerStack) -> None:
    """One rule more, put first, that lets everything through."""

    rule = ["nft", "insert", "rule", "inet", f"{BRIDGE}_stack", "inward", "accept"]
    subprocess.run(rule, check=True)
    try:
        checked = stack.script("firewall.sh", "check", check=False)
        assert (checked.returncode, "was changed" in checked.stderr) == (1, True)
    finally:
        stack.script("firewall.sh", "load")


def test_a_name_of_an_open_container_leaves_the_machine(open_container: str) -> None:
    """The one below would hear a question that goes out."""
    label = f"leak-{secrets.token_hex(8)}"
    listener = Listener(label.encode())
    docker("exec", "-i", open_container, "python3", "-", f"{label}.example.org", given=LOOK_UP)
    assert listener.heard()
    listener.close()


@pytest.mark.parametrize("service", SERVICES)
def test_no_name_leaves_the_machine(stack: DockerStack, service: str) -> None:
    """Nobody is asked about a name from outside: neither by the container nor by the engine."""
    label = f"leak-{secrets.token_hex(8)}"
    listener = Listener(label.encode())
    assert stack.python(service, LOOK_UP, f"{label}.example.org") == []
    assert listener.heard() == []
    listener.close()


def test_neighbours_meet_one_way(stack: DockerStack) -> None:
    """The edge calls the gateway, and the gateway does not call the edge."""
    assert answered(stack.container("edge"), ("gateway:8080",)) == ["tcp gateway:8080"]
    addresses = stack.inspected("edge")["NetworkSettings"]["Networks"].values()
    places = tuple(
        f"{network['IPAddress']}:{port}" for network in addresses for port in (8443, 8081)
    )
    assert answered(stack.container("gateway"), places) == []


@pytest.mark.parametrize("service", ["ledger", "engine"])
def test_ledger_and_engine_have_no_network(stack: DockerStack, service: str) -> None:
    """No interface but their own loopback, so no route and no neighbour."""
    program = "import json, socket; print(json.dumps([name for _, name in socket.if_nameindex()]))"
    names = stack.python(service, program)
    # Some kernels give every network such a name; it is down and has no address.
    assert set(names) <= {"lo", "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0"}
    assert stack.inspected(service)["HostConfig"]["NetworkMode"] == "none"
