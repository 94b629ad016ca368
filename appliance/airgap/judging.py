"""What was found, held against what must be: one line each, with what to do next (pure).

`ok`: as it must be. `warn`: no way out by itself, and yet not as it should be. `fail`: a way out,
or something that could not be looked at, which counts as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from appliance.airgap.kernel import Facts
from appliance.airgap.probe import Outcome, Result, To
from appliance.airgap.stack import CONTAINERS, LISTENS, WITHOUT_NETWORK, Role

Verdict = Literal["ok", "warn", "fail"]
SECCOMP_FILTER = 2
PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY"})
# Prefixes of variables by which libraries send what happens here to somebody else.
TELEMETRY = (
    "OTEL_EXPORTER_", "SENTRY_", "DD_", "DATADOG_", "NEW_RELIC_", "LANGCHAIN_", "LANGSMITH_",
    "LANGFUSE_", "WANDB_", "POSTHOG_", "HONEYCOMB_", "BUGSNAG_", "ROLLBAR_", "ELASTIC_APM_",
    "APPLICATIONINSIGHTS_", "APPINSIGHTS_", "MLFLOW_TRACKING_", "COMET_",
)  # fmt: skip

OPEN: Mapping[To, str] = {
    To.PUBLIC: "take the machine off that network; then compose/firewall.sh check",
    To.METADATA: "the firewall must drop link-local addresses: compose/firewall.sh load",
    To.HOST: "containers must not reach their host: compose/firewall.sh load",
    To.RESOLVER: "the name server forwards questions: set `dns` as compose/compose.yaml does",
    To.NEIGHBOUR: "they must share no network: compare the networks with compose/compose.yaml",
}
LOOK_AGAIN = "run it as the user of the process that is looked at, or as root"

# The line without which the others prove nothing.
ITSELF = "the check itself"


@dataclass(frozen=True)
class Line:
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    found: str
    expected: str
    next: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def judge(role: Role, facts: Facts, results: Sequence[Result]) -> list[Line]:
    """Return a line for each thing that was looked at, what was tried first."""
    contained = role in CONTAINERS
    return [
        *_itself(results),
        *_untried(results),
        *_resolver(facts),
        *(_probe(result) for result in results if result.probe.to is not To.ITSELF),
        *_routes(role, facts, results),
        *_listeners(role, facts),
        *(_published(facts) if role is Role.HOST else ()),
        *(_process(facts) if contained else ()),
        *_environment(facts),
        *(_elsewhere() if role is Role.MACHINE else ()),
    ]


def _itself(results: Iterable[Result]) -> Iterator[Line]:
    tried = [result for result in results if result.probe.to is To.ITSELF]
    works = len(tried) > 0 and all(result.reached for result in tried)
    found = "an open port was found" if works else "an open port was not found"
    then = "" if works else "nothing below proves anything: find out why loopback does not work"
    yield Line(ITSELF, "ok" if works else "fail", found, "it finds an open port", then)


def _untried(results: Iterable[Result]) -> Iterator[Line]:
    tried = [result for result in results if result.probe.to is To.PUBLIC]
    if tried and all(result.outcome is Outcome.UNAVAILABLE for result in tried):
        yield Line("public addresses", "fail", "none could be tried", "tried", LOOK_AGAIN)


def _resolver(facts: Facts) -> Iterator[Line]:
    if facts.name_servers is None:
        yield _unread("name servers", "resolver", facts, "known")


def _probe(result: Result) -> Line:
    probe, outcome = result.probe, result.outcome
    # A name server on the spot may answer, as long as it knows nothing of the world.
    is_open = outcome is Outcome.ANSWERED if probe.to is To.RESOLVER else result.reached
    expected = "knows nothing" if probe.to is To.RESOLVER else "no answer"
    verdict: Verdict = "fail" if is_open else "ok"
    return Line(probe.title, verdict, outcome, expected, OPEN[probe.to] if is_open else "")


def _routes(role: Role, facts: Facts, results: Sequence[Result]) -> Iterator[Line]:
    if facts.routes is None:
        yield _unread("routes", "routes", facts, "known")
        return
    away = [route for route in facts.routes if route.is_default]
    if role in WITHOUT_NETWORK:
        used = sorted({route.interface for route in facts.routes if route.interface != "lo"})
        yield Line(
            "networks", "fail" if used else "ok", ", ".join(used) or "none", "none",
            f"`network_mode: none` for the {role}" if used else "",
        )  # fmt: skip
        return
    if not away:
        yield Line("default route", "ok", "none", "none")
        return
    found = ", ".join(f"{route.gateway or 'direct'} on {route.interface}" for route in away)
    tried = [one for one in results if one.probe.to in {To.PUBLIC, To.METADATA}]
    if any(one.reached for one in tried):
        yield Line("default route", "fail", found, "none that leads out", OPEN[To.PUBLIC])
    elif role in CONTAINERS and role is not Role.EDGE:
        then = "Docker 20.10 makes one on internal networks too; nothing answers through it"
        yield Line("default route", "warn", found, "none", then)
    else:
        yield Line("default route", "ok", f"{found}; nothing answers through it",
                   "none that leads out")  # fmt: skip


def _listeners(role: Role, facts: Facts) -> Iterator[Line]:
    if facts.listeners is None:
        yield _unread("open ports", "listeners", facts, "known")
        return
    seen = [one for one in facts.listeners if not one.is_loopback]
    if role not in CONTAINERS:
        found = ", ".join(sorted({one.title for one in seen})) or "none"
        verdict: Verdict = "warn" if seen else "ok"
        then = "look whether each is meant; the firewall of the hospital's network decides too"
        yield Line("open ports", verdict, found, "few", then if seen else "")
        return
    allowed = LISTENS[role]
    wrong = [one for one in seen if one.protocol != "tcp" or one.port not in allowed]
    expected = ", ".join(f"tcp {port}" for port in sorted(allowed)) or "none"
    found = ", ".join(sorted({one.title for one in seen})) or "none"
    yield Line("open ports", "fail" if wrong else "ok", found, expected,
               "find out which program opened it, and stop it" if wrong else "")  # fmt: skip


def _published(facts: Facts) -> Iterator[Line]:
    if facts.published is None:
        yield _unread("published ports", "published", facts, "the edge's alone")
        return
    wrong = [one for one in facts.published if one.inside not in LISTENS[Role.EDGE]]
    found = ", ".join(f"{one.outside} to {one.inside}" for one in facts.published)
    yield Line(
        "published ports", "fail" if wrong else "ok", found or "none seen", "the edge's alone",
        "take `ports` out of every service but the edge" if wrong else "",
    )  # fmt: skip


def _process(facts: Facts) -> Iterator[Line]:
    status = facts.status
    if status is None:
        yield _unread("rights", "status", facts, "none")
    else:
        held = [name for name, value in status.capabilities.items() if value]
        yield Line("capabilities", "fail" if held else "ok", ", ".join(held) or "none", "none",
                   "the Compose file lacks `cap_drop: [ALL]`" if held else "")  # fmt: skip
        yield _switch("new privileges", status.no_new_privileges, "cannot be gained",
                      "can be gained",
                      "the Compose file lacks `no-new-privileges:true`")  # fmt: skip
        yield _switch("seccomp", status.seccomp == SECCOMP_FILTER, "filtered", "not filtered",
                      "take `seccomp=unconfined` out of the Compose file")  # fmt: skip
        yield _switch("user", status.uid != 0, "not root", "root", "the Compose file lacks `user:`")
    if facts.root_read_only is None:
        yield _unread("root file system", "root", facts, "read-only")
    else:
        yield _switch("root file system", facts.root_read_only, "read-only", "can be written",
                      "the Compose file lacks `read_only: true`")  # fmt: skip


def _switch(check: str, good: bool, wanted: str, otherwise: str, then: str) -> Line:
    if good:
        return Line(check, "ok", wanted, wanted)
    return Line(check, "fail", otherwise, wanted, then)


def _environment(facts: Facts) -> Iterator[Line]:
    if facts.environment is None:
        yield _unread("environment", "environment", facts, "nothing that reports or diverts")
        return
    told = [
        name for name in facts.environment
        if name.upper() in PROXIES or name.startswith(TELEMETRY)
    ]  # fmt: skip
    yield Line(
        "environment", "fail" if told else "ok", ", ".join(told) or "nothing",
        "nothing that reports or diverts", "take these variables away" if told else "",
    )  # fmt: skip


def _elsewhere() -> Iterator[Line]:
    yield Line(
        "place", "warn", "no container of the stack, and not its host", "the hospital's stack",
        "what is open here says nothing about the stack: run it there, see docs/how-to/"
        "prove-the-air-gap.md",
    )  # fmt: skip


def _unread(check: str, what: str, facts: Facts, expected: str) -> Line:
    why = facts.unreadable.get(what, "not there")
    return Line(check, "fail", f"cannot be read: {why}", expected, LOOK_AGAIN)
