"""Carries out probes, all at once, each for two seconds at most.

Not here: what is tried (`probe`) and what it means (`judging`). Run as a program it reads probes
from standard input and prints what came of them; so they can be made in the network of another
process, which has no Python of ours.
"""

from __future__ import annotations

import contextlib
import errno
import json
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from appliance.airgap import dns
from appliance.airgap.probe import Kind, Outcome, Probe, Result, To

LIMIT_S = 2.0
MAX_AT_ONCE = 128
UNREACHABLE = frozenset({
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EHOSTDOWN,
})  # fmt: skip
UNAVAILABLE = frozenset({
    errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EINVAL,
})  # fmt: skip
BLOCKED = frozenset({errno.EPERM, errno.EACCES})
MAX_ANSWER = 4_096
# Reserved by RFC 2606, run by IANA; every working resolver knows it.
EXAMPLE = "example.com"
# RFC 792 and RFC 4443: an echo request without data.
_ECHO, _ECHO6 = 8, 128


def run(probes: Sequence[Probe]) -> list[Result]:
    """Return what came of each probe, in their order."""
    if not probes:
        return []
    with ThreadPoolExecutor(min(len(probes), MAX_AT_ONCE), "airgap") as pool:
        return list(pool.map(attempt, probes))


def attempt(probe: Probe) -> Result:
    """Carry out one probe; never raises for what the network does."""
    try:
        outcome = _WAYS[probe.kind](probe)
    except TimeoutError:
        outcome = Outcome.SILENT
    except ConnectionError:
        outcome = Outcome.REFUSED
    except OSError as error:
        outcome = _meaning(error)
    return Result(probe, outcome)


def resolve(names: Iterable[str], servers: Sequence[str]) -> list[tuple[str, str]]:
    """Return (name, address) for each address that a resolver gives out for one of the names."""
    asked = [(name, server, kind) for name in names for server in servers
             for kind in (dns.A, dns.AAAA)]  # fmt: skip
    if not asked:
        return []
    with ThreadPoolExecutor(min(len(asked), MAX_AT_ONCE), "airgap") as pool:
        found = pool.map(_addresses, asked)
        return sorted({(name, address) for (name, _, _), addresses in zip(asked, found, strict=True)
                       for address in addresses})  # fmt: skip


def check_itself() -> list[Result]:
    """Try what must succeed: a TCP and a UDP port opened for it on the loopback.

    Probes that find nothing open prove nothing when they would not find an open port either.
    """
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(LIMIT_S)
        threading.Thread(target=_answer_one, args=(udp,), daemon=True).start()
        return run([
            Probe(Kind.TCP, "127.0.0.1", tcp.getsockname()[1], To.ITSELF),
            Probe(Kind.UDP, "127.0.0.1", udp.getsockname()[1], To.ITSELF),
        ])  # fmt: skip


def run_in_network_of(process: int, probes: Sequence[Probe]) -> list[Result]:
    """Do the same in the network of another process; needs root, and util-linux's nsenter.

    Raises OSError or ValueError when that cannot be done.
    """
    wanted = json.dumps([[p.kind, p.address, p.port, p.to, p.name] for p in probes])
    words = ["nsenter", f"--net=/proc/{process}/ns/net", sys.executable, "-m", __name__]
    try:
        done = subprocess.run(words, input=wanted, capture_output=True, text=True, check=False,
                              timeout=60)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise OSError(errno.ETIMEDOUT, f"no end in the network of process {process}") from error
    if done.returncode:
        raise OSError(errno.EPERM, f"cannot enter the network of process {process}")
    outcomes = [Outcome(one) for one in json.loads(done.stdout)]
    return [Result(probe, outcome) for probe, outcome in zip(probes, outcomes, strict=True)]


def same_network(process: int) -> bool:
    """Tell whether a process has the network that this one has."""
    return Path(f"/proc/{process}/ns/net").stat().st_ino == Path("/proc/self/ns/net").stat().st_ino


def _meaning(error: OSError) -> Outcome:
    for numbers, outcome in (
        (UNREACHABLE, Outcome.NO_ROUTE), (BLOCKED, Outcome.BLOCKED),
        (UNAVAILABLE, Outcome.UNAVAILABLE),
    ):  # fmt: skip
        if error.errno in numbers:
            return outcome
    return Outcome.ODD  # such as what an ICMP message of some router comes out as


def _open(probe: Probe, kind: int, protocol: int = 0) -> socket.socket:
    family = socket.AF_INET6 if ":" in probe.address else socket.AF_INET
    opened = socket.socket(family, kind, protocol)
    opened.settimeout(LIMIT_S)
    return opened


def _tcp(probe: Probe) -> Outcome:
    with _open(probe, socket.SOCK_STREAM) as connection:
        connection.connect((probe.address, probe.port))
    return Outcome.CONNECTED


def _udp(probe: Probe) -> Outcome:
    """Ask the root's name servers, or any answer at all: what comes back came from outside."""
    with _open(probe, socket.SOCK_DGRAM) as connection:
        connection.connect((probe.address, probe.port))
        connection.send(dns.question("", dns.NS, secrets.randbits(16)))
        connection.recv(MAX_ANSWER)
    return Outcome.ANSWERED


def _icmp(probe: Probe) -> Outcome:
    six = ":" in probe.address
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    with _open(probe, socket.SOCK_DGRAM, protocol) as connection:
        connection.connect((probe.address, 0))
        echo = struct.pack(">BBHHH", _ECHO6 if six else _ECHO, 0, 0, 0, 1)
        # The kernel fills in the number of the socket and, for IPv6, the checksum.
        connection.send(echo if six else echo[:2] + struct.pack(">H", 0xF7FE) + echo[4:])
        connection.recv(MAX_ANSWER)
    return Outcome.ANSWERED


def _dns(probe: Probe) -> Outcome:
    """Ask twice: some name servers pass on questions for addresses alone."""
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(_ask, probe.address, name, kind, probe.port)
                 for name, kind in (("", dns.NS), (EXAMPLE, dns.A))]  # fmt: skip
        wait(asked)
    answers = [one.result() for one in asked if one.exception() is None]
    if not answers:
        asked[0].result()  # raises what the network said
    knows = any(one is not None and one.records for one in answers)
    return Outcome.ANSWERED if knows else Outcome.EMPTY


_WAYS: dict[Kind, Callable[[Probe], Outcome]] = {
    Kind.TCP: _tcp, Kind.UDP: _udp, Kind.ICMP: _icmp, Kind.DNS: _dns
}  # fmt: skip


def _ask(server: str, name: str, kind: int, port: int = 53) -> dns.Answer | None:
    """Return what a name server says; raise OSError when it says nothing in time."""
    number = secrets.randbits(16)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    until = time.monotonic() + LIMIT_S
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.connect((server, port))
        connection.send(dns.question(name, kind, number))
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            found = dns.answer(connection.recv(MAX_ANSWER), number)
            if found is not None:
                return found
    return None


def _addresses(asked: tuple[str, str, int]) -> tuple[str, ...]:
    name, server, kind = asked
    try:
        found = _ask(server, name, kind)
    except OSError:
        return ()
    return found.addresses if found is not None else ()


def _answer_one(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        _, sender = opened.recvfrom(MAX_ANSWER)
        opened.sendto(b"here", sender)


def main() -> None:
    """Read probes from standard input, print their outcomes."""
    wanted = [Probe(Kind(kind), address, port, To(to), name)
              for kind, address, port, to, name in json.load(sys.stdin)]  # fmt: skip
    json.dump([result.outcome for result in run(wanted)], sys.stdout)


if __name__ == "__main__":
    main()
