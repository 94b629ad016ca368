"""Reads what the kernel and the environment say of one process and its network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from appliance.airgap import kernel
from appliance.airgap.kernel import Facts, Listener, Published, Route

PROC = Path("/proc")
# dockerd starts one of these for each published port (unless told to use the firewall alone).
PROXY = "docker-proxy"
PROXY_OPTIONS = ("-host-port", "-container-port")
T = TypeVar("T")


def look(process: str = "self", proc: Path = PROC) -> Facts:
    """Return what is known of a process: itself, or another one by its number."""
    here, failed = proc / process, dict[str, str]()

    def read(what: str, reading: Callable[[], T]) -> T | None:
        try:
            return reading()
        except (OSError, ValueError, IndexError) as error:
            failed[what] = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return None

    return Facts(
        routes=read("routes", lambda: _routes(here / "net")),
        listeners=read("listeners", lambda: _listeners(here / "net")),
        status=read("status", lambda: kernel.status((here / "status").read_text())),
        root_read_only=read(
            "root", lambda: kernel.root_is_read_only((here / "mountinfo").read_text())
        ),
        environment=read("environment", lambda: _environment(here / "environ")),
        name_servers=read("resolver", lambda: _name_servers(here, process)),
        published=read("published", lambda: _published(proc)),
        addresses=read("addresses", lambda: _addresses(here / "net")) or frozenset(),
        unreadable=failed,
    )


def _routes(net: Path) -> tuple[Route, ...]:
    found = kernel.routes((net / "route").read_text())
    return (*found, *kernel.routes6(_text(net / "ipv6_route")))


def _addresses(net: Path) -> frozenset[str]:
    return kernel.addresses((net / "fib_trie").read_text(), _text(net / "if_inet6"))


def _listeners(net: Path) -> tuple[Listener, ...]:
    return tuple(
        listener
        for name in ("tcp", "tcp6", "udp", "udp6")
        for listener in kernel.listeners(_text(net / name), name[:3])
    )


def _text(path: Path) -> str:
    # A kernel without IPv6 lacks those files; one without IPv4 there is not.
    missing_is_fine = "6" in path.name and not path.exists()
    return "" if missing_is_fine else path.read_text()


def _environment(path: Path) -> tuple[str, ...]:
    """Return the names of variables that are set to something."""
    pairs = (item.partition(b"=") for item in path.read_bytes().split(b"\0"))
    return tuple(sorted(name.decode(errors="replace") for name, _, value in pairs if value))


def _name_servers(here: Path, process: str) -> tuple[str, ...]:
    root = Path("/") if process == "self" else here / "root"
    path = root / "etc" / "resolv.conf"
    return kernel.name_servers(path.read_text()) if path.exists() else ()


def _published(proc: Path) -> tuple[Published, ...]:
    ports = set()
    for path in proc.glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended meanwhile
        if Path(words[0]).name == PROXY and set(PROXY_OPTIONS) <= set(words):
            outside, inside = (int(words[words.index(option) + 1]) for option in PROXY_OPTIONS)
            ports.add(Published(outside, inside))
    return tuple(sorted(ports))
