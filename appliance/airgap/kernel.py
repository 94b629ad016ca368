"""What the kernel says in /proc, put into values (pure; see proc(5) and the kernel's ip-sysctl).

Guarantee: text in, values out; a line that is not as expected raises ValueError, so that a check
which cannot read says so and never passes for a closed one.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

Network = IPv4Network | IPv6Network
LISTENING = "0A"
# A UDP socket without a peer takes packets from anybody.
UNCONNECTED = "07"
_UP, _REJECT = 0x1, 0x200
CAPABILITY_FIELDS = ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")


@dataclass(frozen=True)
class Route:
    """One route: to which network, through which interface, by which gateway ('' when direct)."""

    network: Network
    interface: str
    gateway: str = ""

    @property
    def is_default(self) -> bool:
        return self.network.prefixlen == 0


@dataclass(frozen=True)
class Listener:
    """A port that is open on some address of this machine."""

    protocol: str
    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return ip_address(self.address).is_loopback

    @property
    def title(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.protocol} {host}:{self.port}"


@dataclass(frozen=True)
class Status:
    """What a process may do: capabilities by their field, and the kernel's two one-way switches."""

    uid: int
    capabilities: dict[str, int]
    no_new_privileges: bool
    seccomp: int


@dataclass(frozen=True, order=True)
class Published:
    """A port of a container that its host offers to others: the host's number, and its own."""

    outside: int
    inside: int


@dataclass(frozen=True)
class Facts:
    """What was read; None where it could not be, with the reason in `unreadable`.

    `environment` holds names and never values: those may be secrets. `published` are the ports
    that containers of this machine offer to others, as far as their helpers can be seen.
    """

    routes: tuple[Route, ...] | None
    listeners: tuple[Listener, ...] | None
    status: Status | None
    root_read_only: bool | None
    environment: tuple[str, ...] | None
    name_servers: tuple[str, ...] | None
    published: tuple[Published, ...] | None = ()
    addresses: frozenset[str] = frozenset()
    unreadable: dict[str, str] = field(default_factory=dict)


def routes(text: str) -> list[Route]:
    """Read /proc/net/route."""
    found = []
    for line in text.splitlines()[1:]:
        interface, destination, gateway, flags, _, _, _, mask, *_ = line.split()
        if int(flags, 16) & _UP and not int(flags, 16) & _REJECT:
            network = IPv4Network((_ipv4(destination), str(_ipv4(mask))))
            through = _ipv4(gateway)
            found.append(Route(network, interface, str(through) if int(through) else ""))
    return found


def routes6(text: str) -> list[Route]:
    """Read /proc/net/ipv6_route; routes to the machine itself are left out."""
    found = []
    for line in text.splitlines():
        destination, length, _, _, gateway, _, _, _, flags, interface = line.split()
        usable = int(flags, 16) & _UP and not int(flags, 16) & _REJECT
        if usable and interface != "lo":
            network = IPv6Network((bytes.fromhex(destination), int(length, 16)))
            through = IPv6Address(bytes.fromhex(gateway))
            if not network.is_link_local and not network.is_multicast:
                found.append(Route(network, interface, str(through) if int(through) else ""))
    return found


def listeners(text: str, protocol: str) -> list[Listener]:
    """Read /proc/net/tcp, tcp6, udp or udp6; `protocol` is `tcp` or `udp`."""
    state = LISTENING if protocol == "tcp" else UNCONNECTED
    found = []
    for line in text.splitlines()[1:]:
        _, local, _, now, *_ = line.split()
        address, _, port = local.partition(":")
        if now == state:
            found.append(Listener(protocol, str(_address(address)), int(port, 16)))
    return found


def status(text: str) -> Status:
    """Read /proc/PID/status."""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    try:
        return Status(
            uid=int(fields["Uid"].split()[1]),
            capabilities={name: int(fields[name], 16) for name in CAPABILITY_FIELDS},
            no_new_privileges=fields["NoNewPrivs"].strip() == "1",
            seccomp=int(fields["Seccomp"]),
        )
    except KeyError as error:
        raise ValueError(f"the kernel does not say {error}") from error


def root_is_read_only(text: str) -> bool:
    """Read /proc/PID/mountinfo: is the file system at / mounted for reading alone?"""
    # Where something is mounted over /, the last line counts.
    options = [line.split()[5] for line in text.splitlines() if line.split()[4] == "/"]
    if not options:
        raise ValueError("nothing is mounted at /")
    return "ro" in options[-1].split(",")


def name_servers(text: str) -> tuple[str, ...]:
    """Read /etc/resolv.conf; an address that is none is left out, as resolvers do."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                found.append(str(ip_address(words[1].partition("%")[0])))
            except ValueError:
                continue
    return tuple(dict.fromkeys(found))


def addresses(trie: str, six: str) -> frozenset[str]:
    """Read /proc/net/fib_trie and /proc/net/if_inet6: the addresses that are one's own."""
    found, last = set[str](), ""
    for line in trie.splitlines():
        words = line.split()
        if words[0] == "|--":
            last = words[1]
        elif words == ["/32", "host", "LOCAL"]:
            found.add(last)
    own6 = (IPv6Address(bytes.fromhex(line.split()[0])) for line in six.splitlines())
    return frozenset(found | {str(address) for address in own6})


def bridge_addresses(known: Iterable[Route], own: Container[str] = ()) -> tuple[str, ...]:
    """Return the addresses at which a container's host may be: gateways, and each first address.

    On an isolated network (Docker 28) the host has none, and the first one is a container's.
    """
    found: dict[str, None] = {}
    for route in known:
        if route.gateway:
            found[route.gateway] = None
        elif not route.is_default and route.network.num_addresses > 2:
            found[str(route.network[1])] = None
    return tuple(address for address in found if address not in own)


def _ipv4(text: str) -> IPv4Address:
    # The kernel prints the number as it lies in memory.
    return IPv4Address(struct.pack("=I", int(text, 16)))


def _address(text: str) -> IPv4Address | IPv6Address:
    if len(text) == 8:
        return _ipv4(text)
    words = [struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, 32, 8)]
    whole = IPv6Address(b"".join(words))
    return whole.ipv4_mapped or whole
