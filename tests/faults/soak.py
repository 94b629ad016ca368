"""`make soak`: a ward's worth of clients on a real appliance while its engines are killed.

Asserts: no stream hangs; every question has exactly one intent and one outcome in a record that
verifies; each restart is recorded once; the memory of gateway, ledger and manager is flat; and
after the last blow a question is answered. Prints a table of what was seen.

Nothing is simulated: the whole appliance with the demo model, clients over HTTP, real signals.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from appliance import config as configuration
from appliance.assembly import assemble
from appliance.cli.actor import console_actor
from appliance.identity import passwords
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.operations import operations_for
from tests.faults.soak_blows import Blows
from tests.faults.soak_clients import Browser, Client, Program, Seen, Station
from tests.simulators.stack import Stack

PASSWORD = "correct horse battery staple"
PEOPLE = 8
PROGRAMS_OF_16 = 4
ANSWER_WITHIN_S = 60
# A stream ends with its answer: its own limit, the wait for an engine, the last snapshot.
BOUND_S = ANSWER_WITHIN_S + 45.0
WATCHED_PARTS = ("gateway", "ledger", "engine")
# So much may a process have grown at the end, in MB. An answer's text stays in memory for two
# minutes after its end, so a run shorter than that ends while it is still filling up.
GROWTH_MB = 32.0
FILLING_MB = 64.0
FILLING_S = 150.0
RECOVERS_WITHIN_S = 90.0
ENDINGS = {"answer.complete", "answer.stop", "answer.fail"}
SETTINGS = {
    "APPLIANCE_ENGINE__THREADS": "1",
    "APPLIANCE_ENGINE__PROBE_EVERY_S": "5",
    "APPLIANCE_ENGINE__MAX_ANSWER_TOKENS": "400",
    "APPLIANCE_ENGINE__TEMPERATURE_PERCENT": "150",
    "APPLIANCE_ENGINE__ANSWER_TIMEOUT_S": str(ANSWER_WITHIN_S),
}


@dataclass
class Found:
    """Everything that a soak saw; `memory` is in MB, by part and process, oldest first."""

    seconds: float
    seen: list[Seen] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    memory: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    intents: int = 0
    odd: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)
    recovered: bool = False

    def growth(self) -> dict[tuple[str, int], tuple[float, float]]:
        """Return for each process that lived long enough its size after warm-up and at the end."""
        found = {}
        for who, sizes in self.memory.items():
            warm = int(min(FILLING_S, self.seconds / 3))
            rest = sizes[warm:]
            if len(rest) >= 20:
                tenth = max(3, len(rest) // 10)
                found[who] = (statistics.median(rest[:tenth]), statistics.median(rest[-tenth:]))
        return found

    def allowed_mb(self) -> float:
        return GROWTH_MB if self.seconds >= 2 * FILLING_S else FILLING_MB

    def check(self) -> None:
        """Raise AssertionError naming the promise that was not kept."""
        assert not self.faults, f"clients failed: {self.faults[:3]}"
        hanging = [seen for seen in self.seen if seen.ending == "hangs" or seen.seconds > BOUND_S]
        assert not hanging, f"streams hung: {hanging[:3]}"
        assert not self.odd, f"questions without exactly one outcome: {self.odd[:3]}"
        assert not self.unknown, f"answers that the record does not know: {self.unknown[:3]}"
        assert len(set(self.restarts)) == len(self.restarts), "a restart was recorded twice"
        ends = {who: after - before for who, (before, after) in self.growth().items()}
        grown = {who: by for who, by in ends.items() if by > self.allowed_mb()}
        assert not grown, f"processes grew by more than {self.allowed_mb():.0f} MB: {grown}"
        assert self.recovered, "no question was answered after the last blow"


def soak(folder: Path, seconds: float, streams: int, pause_s: tuple[float, float]) -> Found:
    """Run everything for so long and return what was seen."""
    stack = Stack.made_before(folder / "state")
    stack.settings.update(SETTINGS)
    keys = _people(stack.state)
    found = Found(seconds)
    stack.start()
    try:
        _strike(stack, keys, found, streams, pause_s)
        found.recovered = _recovers(stack, keys[0])
        _read_record(stack, found)
    finally:
        stack.stop()
    return found


def _people(state: Path) -> list[str]:
    """Add the people of the ward and return an API key of each."""
    appliance = assemble(configuration.load(state))
    try:
        verbs, hashed, keys = operations_for(appliance), passwords.hash_password(PASSWORD), []
        for number in range(PEOPLE):
            name = f"nurse{number}"
            user = appliance.people.add(name, Role.CLINICIAN, hashed, name.title())
            actor = Actor(user.id, name, Role.CLINICIAN, "password", None, "127.0.0.1")
            keys.append(verbs.people.create_key(console_actor(), actor.name, "soak")[1])
        return keys
    finally:
        appliance.close()


def _strike(
    stack: Stack, keys: Sequence[str], found: Found, streams: int, pause_s: tuple[float, float]
) -> None:
    stopping = threading.Event()
    programs = max(1, streams * PROGRAMS_OF_16 // 16)
    clients: list[Client] = []
    for number in range(streams):
        place = Station(stack.address, number, stopping, BOUND_S)
        who = number % PEOPLE
        clients.append(
            Program(keys[who], place)
            if number < programs
            else Browser(f"nurse{who}", PASSWORD, place)
        )
    blows = Blows(stack, stopping, pause_s)
    threads: tuple[Client | Blows, ...] = (*clients, blows)
    for thread in threads:
        thread.start()
    with _measured(stack, found.memory):
        time.sleep(found.seconds)
        stopping.set()
        for thread in threads:
            thread.join(BOUND_S + 30)
    late = [thread.name for thread in clients if thread.is_alive()]
    found.faults += [f"{name} never came back" for name in late]
    found.faults += [thread.fault for thread in threads if thread.fault]
    found.seen = [seen for client in clients for seen in client.seen]
    found.struck = blows.struck


@contextlib.contextmanager
def _measured(stack: Stack, memory: dict[tuple[str, int], list[float]]) -> Iterator[None]:
    """Note the size of each part's worker once a second while the block runs."""
    done = threading.Event()

    def look() -> None:
        while not done.wait(1.0):
            parts = stack.parts()
            for part in WATCHED_PARTS:
                pids = parts.get(part, [])
                if len(pids) > 1 and (size := _resident_mb(pids[-1])):
                    memory.setdefault((part, pids[-1]), []).append(size)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _resident_mb(pid: int) -> float:
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * 4096 / 1e6
    return 0.0


def _recovers(stack: Stack, key: str) -> bool:
    """Tell whether a question is answered soon after the last blow."""
    until = time.monotonic() + RECOVERS_WITHIN_S
    stopping = threading.Event()
    while time.monotonic() < until:
        asker = Program(key, Station(stack.address, 1, stopping, BOUND_S))
        with asker.http:
            if any(word == "complete" for word, _ in asker.ask(until)):
                return True
        time.sleep(1)
    return False


def _read_record(stack: Stack, found: Found) -> None:
    """Compare the record with what the clients saw; it verifies, or this raises."""
    time.sleep(7)  # the gateway looks for restarts every five seconds
    stack.run("audit", "verify")
    ends: dict[str, list[str]] = {}
    intents: Counter[str] = Counter()
    for entry in stack.record():
        if entry["action"] == "answer.request":
            intents[entry["entity"]] += 1
            ends.setdefault(entry["entity"], [])
        elif entry["action"] in ENDINGS:
            ends.setdefault(entry["entity"], []).append(entry["action"])
        elif entry["action"] == "engine.restart":
            found.restarts.append(entry["entity"])
    found.intents = intents.total()
    found.odd = [f"{who}: {intents[who]} intents, {found_ends}" for who, found_ends in ends.items()
                 if intents[who] != 1 or len(found_ends) != 1]  # fmt: skip
    found.unknown = [s.answer for s in found.seen if s.answer is not None and s.answer not in ends]


def table(found: Found) -> str:
    """Return what was seen as lines for people."""
    heads = "".join(f"{head:>10}" for head in ("median s", "p95 s", "longest s"))
    lines = [f"{'client':10}{'ending':16}{'count':>8}{heads}"]
    kinds = sorted({(seen.client, seen.ending) for seen in found.seen})
    for kind in kinds:
        times = sorted(s.seconds for s in found.seen if (s.client, s.ending) == kind)
        p95 = times[min(len(times) - 1, int(len(times) * 0.95))]
        row = f"{len(times):8}{statistics.median(times):10.2f}{p95:10.2f}{times[-1]:10.2f}"
        lines.append(f"{kind[0]:10}{kind[1]:16}{row}")
    lines += ["", f"{'blow':30}{'count':>8}"]
    lines += [f"{name:30}{count:8}" for name, count in sorted(found.struck.items())]
    lines += ["", f"{'process':16}{'warm MB':>10}{'end MB':>10}{'grown MB':>10}"]
    lines += _grown(found.growth())
    lines += ["", "size of those in MB, each tenth of the time:", *_sizes(found)]
    asked, restarted = found.intents, len(found.restarts)
    lines += ["", f"in the record: {asked} questions, {restarted} restarts of a model"]
    return "\n".join(lines)


def _grown(growth: Mapping[tuple[str, int], tuple[float, float]]) -> list[str]:
    return [
        f"{part:16}{before:10.1f}{after:10.1f}{after - before:10.1f}"
        for (part, _), (before, after) in sorted(growth.items())
    ]


def _sizes(found: Found) -> list[str]:
    """Return a line for each process that lived long: flat is what its end has to look like."""
    lines = []
    for who in sorted(found.growth()):
        sizes = found.memory[who]
        lines.append(
            f"{who[0]:10}" + "".join(f"{sizes[len(sizes) * n // 10]:7.0f}" for n in range(10))
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="clients on a real appliance under blows")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--pause", type=float, nargs=2, default=(4.0, 12.0), metavar="S")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        pause_s = (given.pause[0], given.pause[1])
        found = soak(Path(folder), given.minutes * 60, given.streams, pause_s)
    print(table(found))
    found.check()
    print("every promise was kept")


if __name__ == "__main__":
    main()
