"""The internet, as a network of its own on this machine: what must not be reached.

A network namespace holds public addresses, among them one that everybody's name server has, and
answers on TCP and UDP at each of their ports that is tried. This machine reaches it, and so does
a container that nobody closed in: a test looks at that first, since else it could not fail.
Needs root and `ip`.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

# Public ones (RFC 5737's would do, were they not filtered here and there), and a neighbour's.
PUBLIC = ("8.8.8.8", "93.184.215.14", "198.51.100.6")
HERE, THERE = "198.51.100.5", "198.51.100.6"
PORTS = (53, 80, 443, 4242)
SPACE, OURS, THEIRS = "aplt-world", "aplt-here", "aplt-there"
WAIT_S = 10
IP = shutil.which("ip") or "ip"

SERVER = """
import selectors, socket, sys
selector = selectors.DefaultSelector()
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        listener = socket.socket(socket.AF_INET, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        if kind == socket.SOCK_STREAM:
            listener.listen(64)
        selector.register(listener, selectors.EVENT_READ, kind)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        if key.data == socket.SOCK_STREAM:
            key.fileobj.accept()[0].close()
        else:
            data, sender = key.fileobj.recvfrom(2048)
            key.fileobj.sendto(data, sender)
"""


@contextlib.contextmanager
def outside_world() -> Iterator[None]:
    """Have public addresses on this machine's network while the block runs."""
    _remove()
    _ip("netns", "add", SPACE)
    try:
        _ip("link", "add", OURS, "type", "veth", "peer", "name", THEIRS, "netns", SPACE)
        _ip("addr", "add", f"{HERE}/30", "dev", OURS)
        _ip("link", "set", OURS, "up")
        for words in (
            ("addr", "add", f"{THERE}/30", "dev", THEIRS),
            ("link", "set", THEIRS, "up"),
            ("link", "set", "lo", "up"),
            ("route", "add", "default", "via", HERE),
            *(("addr", "add", f"{place}/32", "dev", "lo") for place in PUBLIC if place != THERE),
        ):
            _ip("-n", SPACE, *words)
        for place in PUBLIC:
            if place != THERE:
                _ip("route", "add", f"{place}/32", "via", THERE)
        with listening(PUBLIC, PORTS, IP, "netns", "exec", SPACE):
            yield
    finally:
        _remove()


@contextlib.contextmanager
def listening(hosts: Iterable[str], ports: Iterable[int], *before: str) -> Iterator[None]:
    """Answer at these addresses and ports, over TCP and UDP, in a process of its own.

    A socket for each address, since else UDP would answer from another one than it was asked at.
    """
    places = [f"{host}:{port}" for host in hosts for port in ports]
    command = [*before, sys.executable, "-I", "-c", SERVER, *places]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


class Listener:
    """Sees every frame on every interface of this machine, and keeps those that hold a word."""

    def __init__(self, word: bytes) -> None:
        self._word = word
        everything = socket.htons(0x0003)  # ETH_P_ALL
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, everything)
        self._socket.settimeout(0.2)

    def heard(self) -> list[str]:
        """Return the interfaces on which the word was seen since the beginning."""
        places, until = [], time.monotonic() + 1.0
        while time.monotonic() < until:
            try:
                data, address = self._socket.recvfrom(65_535)
            except TimeoutError:
                break
            if self._word in data:
                places.append(str(address[0]))
        return places

    def close(self) -> None:
        self._socket.close()


def host_addresses() -> list[str]:
    """Return this machine's IPv4 addresses, those of bridges among them."""
    links = json.loads(_ip("-4", "-json", "addr"))
    return [item["local"] for link in links for item in link["addr_info"]]


def _remove() -> None:
    """Remove what there is; the link goes with its space, sooner or later."""
    if Path(f"/run/netns/{SPACE}").exists():
        _ip("netns", "del", SPACE)
    with contextlib.suppress(subprocess.CalledProcessError):
        _ip("link", "del", OURS)


def _ip(*words: str) -> str:
    done = subprocess.run([IP, *words], check=True, timeout=WAIT_S, capture_output=True, text=True)
    return done.stdout
