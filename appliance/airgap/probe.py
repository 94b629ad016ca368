"""What is tried, and what can come of it (pure).

Public addresses are literal, are run for the public, and answer anybody: resolvers and a root
name server. What is sent is the least that gets an answer: a TCP handshake and nothing after it,
an ICMP echo without data, a DNS question for the root's own name servers or for the name that
RFC 2606 reserves for examples. No address, name or number of this site is in any of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from appliance.airgap.stack import CONTAINERS, Role


class Kind(StrEnum):
    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"
    DNS = "dns"


class To(StrEnum):
    """Whom a probe is meant for."""

    PUBLIC = "public address"
    RESOLVER = "resolver"
    HOST = "host"
    METADATA = "metadata service"
    NEIGHBOUR = "neighbour"
    ITSELF = "this check itself"


class Outcome(StrEnum):
    """What came of a probe. Only the last five are answers from somewhere else, or may be."""

    NO_ROUTE = "no route"
    BLOCKED = "blocked here"
    SILENT = "no answer"
    UNAVAILABLE = "cannot be tried here"
    EMPTY = "knows nothing"
    ODD = "an error that something out there may have caused"
    REFUSED = "refused, so it was reached"
    CONNECTED = "connected"
    ANSWERED = "answered"


REACHED = frozenset({Outcome.ODD, Outcome.REFUSED, Outcome.CONNECTED, Outcome.ANSWERED})
PUBLIC_TCP = (
    ("1.1.1.1", 443), ("1.1.1.1", 80), ("1.1.1.1", 853), ("9.9.9.9", 443), ("8.8.8.8", 53),
    ("198.41.0.4", 53), ("2606:4700:4700::1111", 443), ("2620:fe::fe", 53),
)  # fmt: skip
PUBLIC_DNS = ("1.1.1.1", "9.9.9.9", "198.41.0.4", "2620:fe::fe", "2001:503:ba3e::2:30")
PUBLIC_ICMP = ("1.1.1.1", "9.9.9.9")
# Where clouds and some hypervisors tell a machine its secrets.
METADATA = ("169.254.169.254", "fd00:ec2::254")
# What a host tends to offer: sign-in, pages, Docker's own interface. A closed port answers too.
HOST_TCP = (22, 80, 443, 2375)
NEIGHBOUR_TCP = (8443, 8080)


@dataclass(frozen=True, slots=True)
class Probe:
    """One attempt. `name` is the neighbour that the address was given out for."""

    kind: Kind
    address: str
    port: int
    to: To
    name: str = ""

    @property
    def title(self) -> str:
        """Return how people write it, such as `tcp 1.1.1.1:443`."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        place = host if self.kind is Kind.ICMP else f"{host}:{self.port}"
        return f"{self.kind} {place}" + (f" ({self.name})" if self.name else "")


@dataclass(frozen=True, slots=True)
class Result:
    """A probe and what came of it."""

    probe: Probe
    outcome: Outcome

    @property
    def reached(self) -> bool:
        return self.outcome in REACHED


def public() -> tuple[Probe, ...]:
    """Return the attempts to reach the internet."""
    return (
        *(Probe(Kind.TCP, address, port, To.PUBLIC) for address, port in PUBLIC_TCP),
        *(Probe(Kind.UDP, address, 53, To.PUBLIC) for address in PUBLIC_DNS),
        *(Probe(Kind.ICMP, address, 0, To.PUBLIC) for address in PUBLIC_ICMP),
        *(Probe(Kind.TCP, address, 80, To.METADATA) for address in METADATA),
    )


def resolvers(addresses: Iterable[str]) -> tuple[Probe, ...]:
    """Return a question to each configured resolver: does it know the world outside?"""
    return tuple(Probe(Kind.DNS, address, 53, To.RESOLVER) for address in addresses)


def host(addresses: Iterable[str]) -> tuple[Probe, ...]:
    """Return the attempts to reach the machine that carries this container."""
    return tuple(
        probe
        for address in addresses
        for probe in (
            *(Probe(Kind.TCP, address, port, To.HOST) for port in HOST_TCP),
            Probe(Kind.UDP, address, 53, To.HOST),
            Probe(Kind.ICMP, address, 0, To.HOST),
        )
    )


def neighbours(found: Iterable[tuple[str, str]]) -> tuple[Probe, ...]:
    """Return attempts to reach names that must not be known, by the addresses found for them."""
    return tuple(
        Probe(Kind.TCP, address, port, To.NEIGHBOUR, name)
        for name, address in found
        for port in NEIGHBOUR_TCP
    )


def has_a_host(role: Role) -> bool:
    """Tell whether this role runs on a host that it must not reach."""
    return role in CONTAINERS
