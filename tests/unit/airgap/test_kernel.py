"""What the kernel says in /proc, as real machines have said it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from appliance.airgap import kernel
from appliance.airgap.kernel import Listener, Route

ROUTES = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010012AC	0003	0	0	0	00000000	0	0	0
eth0	000012AC	00000000	0001	0	0	0	0000FFFF	0	0	0
eth1	000013AC	00000000	0000	0	0	0	0000FFFF	0	0	0
eth1	0A0A0A0A	00000000	0201	0	0	0	FFFFFFFF	0	0	0
"""
# Destination, source, next hop, metric, references, use, flags, device.
ZERO, HERE = "0" * 32, "fd00" + "0" * 28
ROUTES6 = f"""\
{HERE} 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001     eth0
{ZERO} 00 {ZERO} 00 {HERE[:-1]}1 00000400 00000003 00000000 00000003     eth0
fe80{"0" * 28} 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001     eth0
{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo
{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200201     eth0
"""
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11
   1: 0100007F:A1B2 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12
   2: 020012AC:1F90 030012AC:D431 01 00000000:00000000 00:00000000 00000000  1000        0 13
"""
TCP6 = """\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:20FB 00000000000000000000000000000000:0000 0A 0 0 0 0 0 0
   1: 00000000000000000000000001000000:20FB 00000000000000000000000000000000:0000 0A 0 0 0 0 0 0
   2: 0000000000000000FFFF00000100007F:20FB 00000000000000000000000000000000:0000 0A 0 0 0 0 0 0
"""
STATUS = """\
Name:	python3
Uid:	10002	10002	10002	10002
CapInh:	0000000000000000
CapPrm:	0000000000000000
CapEff:	0000000000000000
CapBnd:	00000000a80425fb
CapAmb:	0000000000000000
NoNewPrivs:	1
Seccomp:	2
"""
MOUNTS = """\
800 700 0:50 / / {options} master:1 - overlay overlay rw,lowerdir=/x
801 800 0:51 / /proc rw,nosuid - proc proc rw
"""


def test_routes_that_count() -> None:
    """Neither those that are down nor those that refuse."""
    assert kernel.routes(ROUTES) == [
        Route(ip_network("0.0.0.0/0"), "eth0", "172.18.0.1"),
        Route(ip_network("172.18.0.0/16"), "eth0"),
    ]


def test_routes_of_ipv6_that_count() -> None:
    """A default route that refuses is no way out, nor are link-local ones."""
    assert kernel.routes6(ROUTES6) == [
        Route(ip_network("fd00::/64"), "eth0"),
        Route(ip_network("::/0"), "eth0", "fd00::1"),
    ]


def test_where_the_host_may_be() -> None:
    """At each gateway, and at the first address of each network."""
    routes = [*kernel.routes(ROUTES), *kernel.routes6(ROUTES6)]
    assert kernel.bridge_addresses(routes) == ("172.18.0.1", "fd00::1")


def test_the_host_is_not_oneself() -> None:
    """On an isolated network a container may have the first address; then it is not the host's."""
    trie = """Main:
  +-- 172.18.0.0/16 2 0 2
     |-- 172.18.0.0
        /16 link UNICAST
Local:
  +-- 172.18.0.0/16 2 0 2
     |-- 172.18.0.1
        /32 host LOCAL
     |-- 172.18.255.255
        /32 link BROADCAST
"""
    six = "fd000000000000000000000000000001 02 40 00 80     eth0\n"
    own = kernel.addresses(trie, six)
    assert own == {"172.18.0.1", "fd00::1"}
    routes = [*kernel.routes(ROUTES), *kernel.routes6(ROUTES6)]
    assert kernel.bridge_addresses(routes, own) == ()


def test_open_ports() -> None:
    """What listens, on which address; connections are none."""
    assert kernel.listeners(TCP, "tcp") == [
        Listener("tcp", "0.0.0.0", 8080),  # noqa: S104 - as the kernel says it
        Listener("tcp", "127.0.0.1", 41_394),
    ]
    assert [one.is_loopback for one in kernel.listeners(TCP, "tcp")] == [False, True]


def test_open_ports_of_ipv6() -> None:
    """An IPv4 address inside of an IPv6 one is that IPv4 address."""
    found = kernel.listeners(TCP6, "tcp")
    assert [(one.address, one.is_loopback) for one in found] == [
        ("::", False), ("::1", True), ("127.0.0.1", True)
    ]  # fmt: skip
    assert found[0].title == "tcp [::]:8443"


def test_rights_of_a_process() -> None:
    """Each field of capabilities by itself: what may be regained counts too."""
    status = kernel.status(STATUS)
    assert (status.uid, status.no_new_privileges, status.seccomp) == (10_002, True, 2)
    assert [name for name, held in status.capabilities.items() if held] == ["CapBnd"]


@pytest.mark.parametrize(("options", "closed"), [("ro,relatime", True), ("rw,relatime", False)])
def test_the_root_file_system(options: str, closed: bool) -> None:
    """The mount's own options count, not those of the disk below."""
    assert kernel.root_is_read_only(MOUNTS.format(options=options)) is closed


def test_what_is_mounted_over_it_counts() -> None:
    """The last mount at / is the one that is seen."""
    text = MOUNTS.format(options="ro") + MOUNTS.format(options="rw")
    assert kernel.root_is_read_only(text) is False


@pytest.mark.parametrize("broken", [STATUS.replace("Seccomp", "x"), "", "CapEff: zz"])
def test_a_status_that_cannot_be_read_is_no_closed_one(broken: str) -> None:
    """It raises, and the check says that it could not look."""
    with pytest.raises(ValueError, match=r".+"):
        kernel.status(broken)


def test_name_servers() -> None:
    """Each once; a line that is no address is left out, as resolvers do."""
    text = "# made by docker\nnameserver 127.0.0.11\nnameserver x\nnameserver fe80::1%eth0\n"
    assert kernel.name_servers(text + "nameserver 127.0.0.11\noptions ndots:0") == (
        "127.0.0.11", "fe80::1"
    )  # fmt: skip
