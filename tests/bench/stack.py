"""`make bench-stack`: what containers and the edge cost, beside the same gateway without them.

Both stand before the same upstream, which answers at once (`fake_upstream.py`), and the same bare
client asks both: the stack through its edge, over TLS 1.3, and the other over plain HTTP. Both
have ledger and gateway whole: a key per caller, policy, sealing, the durable record. Then the
stack is started from nothing with the demo model, images present, until it has answered.

Needs root, a Docker engine and the images (`make images`).
"""

from __future__ import annotations

import contextlib
import shutil
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tests.bench.gateway_client import Caller, Endpoint
from tests.bench.harness import Measure, Row, measure, median, report
from tests.simulators import docker_stack, stack_visitor
from tests.simulators.docker_stack import DockerStack, docker
from tests.simulators.fake_upstream import FakeUpstream
from tests.simulators.gateway_site import GatewaySite

CALLERS = (1, 8)
RATE_S = 3.0
FIRST_WORDS = 120
START_ROUNDS = 3
# The edge lets an address ask 200 times a second, and 400 times more at once: so much comes back.
REST_S = 2.5
RUN, STACK, START = "appliance run", "edge and containers", "the stack, from nothing"
ENGINE = 10_003
# Accounts as `GatewaySite` makes them: each caller has a key of its own.
PEOPLE = """
import json, sys
from pathlib import Path
from appliance.assembly import assemble
from appliance.config import load
from appliance.identity.roles import Role
appliance = assemble(load(Path("/var/lib/appliance")))
keys = []
for number in range(int(sys.argv[1])):
    user = appliance.people.add(f"nurse{number}", Role.CLINICIAN, "$argon2id$not-used")
    keys.append(appliance.people.create_key(user.id, "bench", 1)[1])
appliance.close()
print(json.dumps(keys))
"""
Dial = Callable[[], Caller]
Found = TypeVar("Found")


class TlsCaller(Caller):
    """The same bare client on a connection that was verified."""

    def __init__(self, endpoint: Endpoint, trust: ssl.SSLContext) -> None:
        super().__init__(endpoint)
        self._socket = trust.wrap_socket(self._socket, server_hostname=endpoint.host)


def speed(dials: Sequence[Dial]) -> Measure:
    """Return a measurement of one way: whole answers a second, and milliseconds to a word."""

    def run() -> dict[str, float]:
        figures: dict[str, float] = {}
        for callers in CALLERS:
            chosen = dials[:callers]
            _rate(chosen, 0.3)  # connections, imports and caches are not what is asked
            time.sleep(REST_S)
            figures[f"rps_{callers}"] = _rate(chosen, RATE_S)
            time.sleep(REST_S)
            figures[f"ttft_ms_{callers}"] = statistics.median(_waits(chosen)) * 1000
        return figures

    return run


def _rate(dials: Sequence[Dial], seconds: float) -> float:
    """Return how many whole answers a second these callers get together."""

    def ask(caller: Caller) -> int:
        count, until = 0, time.perf_counter() + seconds
        while time.perf_counter() < until:
            caller.whole("May the patient go home?")
            count += 1
        return count

    counts, took = _together(dials, ask)
    return sum(counts) / took


def _waits(dials: Sequence[Dial]) -> list[float]:
    """Return the seconds to the first word of each of the questions, asked by these at once."""

    def ask(caller: Caller) -> list[float]:
        caller.first_word("hello")
        return [caller.first_word("May she?") for _ in range(FIRST_WORDS // len(dials))]

    found, _ = _together(dials, ask)
    return [wait for waits in found for wait in waits]


def _together(dials: Sequence[Dial], ask: Callable[[Caller], Found]) -> tuple[list[Found], float]:
    """Have every caller do this at once, each on its own connection; return that, and seconds."""
    results: list[Found] = []
    start = threading.Barrier(len(dials) + 1)

    def one(dial: Dial) -> None:
        with contextlib.closing(dial()) as caller:
            start.wait()
            results.append(ask(caller))

    threads = [threading.Thread(target=one, args=(dial,)) for dial in dials]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if len(results) != len(dials):
        raise AssertionError("a caller was refused; what stands above says how")
    return results, time.perf_counter() - began


@contextlib.contextmanager
def stack_before_upstream(folder: Path) -> Iterator[list[Dial]]:
    """Run the stack with that upstream in the engine's place; yield its callers."""
    stack = new_stack(folder)
    try:
        stack.up()
        keys = stack.python("gateway", PEOPLE, str(max(CALLERS)))
        with _upstream(stack):
            trust = ssl.create_default_context(cafile=str(stack.certificate))
            yield [_dial(Endpoint("127.0.0.1", stack.port, key), trust) for key in keys]
    finally:
        stack.remove()


def _dial(endpoint: Endpoint, trust: ssl.SSLContext | None = None) -> Dial:
    return lambda: Caller(endpoint) if trust is None else TlsCaller(endpoint, trust)


@contextlib.contextmanager
def _upstream(stack: DockerStack) -> Iterator[None]:
    """Put the upstream's sockets where the engine's were; its container stands still."""
    volumes = {mount["Destination"]: Path(mount["Source"])
               for mount in stack.inspected("engine")["Mounts"] if mount.get("Source")}  # fmt: skip
    sockets = volumes["/run/appliance/engine"]
    digest = next(volumes["/var/lib/appliance/models"].glob("*.gguf")).stem
    docker("stop", stack.container("engine"))
    places = [sockets / "engines" / f"{digest[:16]}.sock", sockets / "engine.sock"]
    upstream = FakeUpstream(digest, places).start()
    try:
        for place in places:
            shutil.chown(place, ENGINE, ENGINE)
            place.chmod(0o660)
        yield
    finally:
        upstream.kill()


def first_answer() -> dict[str, float]:
    """Return the seconds from `make up` on a machine without state to an answer over TLS."""
    folder = Path(tempfile.mkdtemp(prefix="stb-"))
    stack = new_stack(folder)
    try:
        began = time.perf_counter()
        stack.up()
        stack_visitor.ask(stack, stack_visitor.make_key(stack))
        return {"first_answer_s": time.perf_counter() - began}
    finally:
        stack.remove()
        shutil.rmtree(folder, ignore_errors=True)


def new_stack(folder: Path) -> DockerStack:
    """Return a stack with a certificate and without any state."""
    stack = DockerStack(folder, "appliance-bench", "aplb")
    stack.make_certificate()
    stack.remove()  # what a run that was killed has left
    return stack


def main() -> None:
    """Measure everything in turn and print it."""
    reason = docker_stack.why_not()
    if reason is not None:
        raise SystemExit(reason)
    folder = Path(tempfile.mkdtemp(prefix="stb-"))
    (folder / "stack").mkdir()
    try:
        with (
            GatewaySite(folder / "state") as site,
            stack_before_upstream(folder / "stack") as through_edge,
        ):
            plain = [_dial(endpoint) for endpoint in site.endpoints(max(CALLERS))]
            rows = measure({RUN: speed(plain), STACK: speed(through_edge)})
        rows += measure({START: first_answer}, START_ROUNDS)
        report("stack", rows, ratios(rows))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ratios(rows: list[Row]) -> Mapping[str, float]:
    """Return the stack's figures over, or less, those without it."""

    def both(figure: str) -> tuple[float, float]:
        return median(rows, STACK, figure), median(rows, RUN, figure)

    one, many = CALLERS
    rates = {callers: both(f"rps_{callers}") for callers in CALLERS}
    waits = {callers: both(f"ttft_ms_{callers}") for callers in CALLERS}
    return {
        "rps_vs_run": rates[many][0] / rates[many][1],
        "rps_vs_run_1": rates[one][0] / rates[one][1],
        "ttft_added_ms": waits[one][0] - waits[one][1],
        "ttft_added_ms_8": waits[many][0] - waits[many][1],
        "first_answer_s": median(rows, START, "first_answer_s"),
    }


if __name__ == "__main__":
    main()
