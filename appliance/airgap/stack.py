"""Who stands where in the stack, and so who may know whom (pure).

This is the description that every check is held against: what is not listed here must not be
reachable. It says the same as compose/compose.yaml and its overlays; stack tests hold the two
together.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """Where a check runs: in one of the containers, on their host, or on any other machine."""

    EDGE = "edge"
    GATEWAY = "gateway"
    LEDGER = "ledger"
    ENGINE = "engine"
    # Engines of somebody else, which take that one's place.
    OLLAMA = "ollama"
    LLAMA_SERVER = "llama-server"
    HOST = "host"
    MACHINE = "machine"


CONTAINERS = frozenset(Role) - {Role.HOST, Role.MACHINE}

# Names on the networks of the stack.
NETWORKS: Mapping[str, frozenset[str]] = {
    "edge": frozenset({Role.EDGE}),
    "front": frozenset({Role.EDGE, Role.GATEWAY}),
    "back": frozenset({Role.GATEWAY, Role.OLLAMA, Role.LLAMA_SERVER}),
}
# These have no network at all: they speak through sockets in the file system.
WITHOUT_NETWORK = frozenset({Role.LEDGER, Role.ENGINE})
NAMES = tuple(sorted(CONTAINERS))

# TCP ports that each opens to its neighbours.
LISTENS: Mapping[Role, frozenset[int]] = {
    Role.EDGE: frozenset({8443}),
    Role.GATEWAY: frozenset({8080}),
    Role.LEDGER: frozenset(),
    Role.ENGINE: frozenset(),
    Role.OLLAMA: frozenset({11434}),
    Role.LLAMA_SERVER: frozenset({8081}),
}


def strangers(role: Role) -> tuple[str, ...]:
    """Return the names that a container must not be able to reach."""
    if role not in CONTAINERS:
        return ()
    shared = (members for members in NETWORKS.values() if role in members)
    known = {str(role)}.union(*shared)
    return tuple(name for name in NAMES if name not in known)
