"""What is a way out, what is only not as it should be, and what is as it must be."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from appliance.airgap.judging import Line, judge
from appliance.airgap.kernel import CAPABILITY_FIELDS, Facts, Listener, Published, Route, Status
from appliance.airgap.probe import Kind, Outcome, Probe, Result, To, public
from appliance.airgap.stack import CONTAINERS, Role

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is opened
CLOSED = Facts(
    routes=(),
    listeners=(Listener("tcp", "127.0.0.11", 40_000),),
    status=Status(10_002, dict.fromkeys(CAPABILITY_FIELDS, 0), True, 2),
    root_read_only=True,
    environment=("APPLIANCE_STATE", "PATH", "HOME"),
    name_servers=(),
)
DEFAULT = Route(ip_network("0.0.0.0/0"), "eth0", "172.18.0.1")
WORKS = [Result(Probe(Kind.TCP, "127.0.0.1", 1, To.ITSELF), Outcome.CONNECTED)]


def lines(role: Role, facts: Facts = CLOSED, *results: Result) -> dict[str, Line]:
    return {line.check: line for line in judge(role, facts, [*WORKS, *results])}


def verdict(check: str, role: Role, facts: Facts, *results: Result) -> str:
    return lines(role, facts, *results)[check].verdict


@pytest.mark.parametrize("role", sorted(CONTAINERS))
def test_a_closed_container_is_ok_in_every_line(role: Role) -> None:
    """Nothing answered, nothing is open, nothing is held."""
    silent = [Result(probe, Outcome.SILENT) for probe in public()]
    assert {line.verdict for line in lines(role, CLOSED, *silent).values()} == {"ok"}


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("to", [To.PUBLIC, To.METADATA, To.HOST, To.NEIGHBOUR])
def test_any_answer_is_a_way_out(to: To, outcome: Outcome) -> None:
    """A refusal too: a packet came back. Only silence and what never left are well."""
    answered = outcome in {Outcome.ODD, Outcome.REFUSED, Outcome.CONNECTED, Outcome.ANSWERED}
    line = lines(Role.ENGINE, CLOSED, Result(Probe(Kind.TCP, "192.0.2.1", 80, to), outcome))[
        "tcp 192.0.2.1:80"
    ]
    assert line.verdict == ("fail" if answered else "ok")
    assert bool(line.next) is answered


@pytest.mark.parametrize(
    ("outcome", "wanted"),
    [(Outcome.ANSWERED, "fail"), (Outcome.EMPTY, "ok"), (Outcome.REFUSED, "ok"),
     (Outcome.SILENT, "ok")],
)  # fmt: skip
def test_a_name_server_may_answer_that_it_knows_nothing(outcome: Outcome, wanted: str) -> None:
    """Docker's stands in each container; it must not know the world."""
    asked = Result(Probe(Kind.DNS, "127.0.0.11", 53, To.RESOLVER), outcome)
    assert verdict("dns 127.0.0.11:53", Role.EDGE, CLOSED, asked) == wanted


def test_probes_that_were_not_seen_to_work_prove_nothing() -> None:
    """Not even when everything else is silent."""
    deaf = [Result(WORKS[0].probe, Outcome.SILENT)]
    for results in (deaf, []):
        found = {line.check: line.verdict for line in judge(Role.ENGINE, CLOSED, results)}
        assert found["the check itself"] == "fail"


@pytest.mark.parametrize(
    ("role", "outcome", "wanted"),
    [
        (Role.GATEWAY, Outcome.SILENT, "warn"),
        (Role.GATEWAY, Outcome.CONNECTED, "fail"),
        (Role.EDGE, Outcome.SILENT, "ok"),  # a published port needs such a network
        (Role.HOST, Outcome.SILENT, "ok"),  # the hospital's own network has one
        (Role.HOST, Outcome.CONNECTED, "fail"),
    ],
)
def test_a_default_route_counts_by_what_answers_on_it(
    role: Role, outcome: Outcome, wanted: str
) -> None:
    """The route alone is not yet a way; where none is needed it is said."""
    facts = replace(CLOSED, routes=(DEFAULT,))
    assert verdict("default route", role, facts, Result(public()[0], outcome)) == wanted


@pytest.mark.parametrize("role", [Role.LEDGER, Role.ENGINE])
def test_who_speaks_through_sockets_has_no_network(role: Role) -> None:
    """Any interface is one too many."""
    facts = replace(CLOSED, routes=(Route(ip_network("172.18.0.0/16"), "eth0"),))
    assert verdict("networks", role, facts) == "fail"


@pytest.mark.parametrize(
    ("role", "port", "wanted"),
    [(Role.GATEWAY, 8080, "ok"), (Role.GATEWAY, 9090, "fail"), (Role.EDGE, 8443, "ok"),
     (Role.LEDGER, 8080, "fail"), (Role.HOST, 22, "warn")],
)  # fmt: skip
def test_open_ports_are_those_of_the_role(role: Role, port: int, wanted: str) -> None:
    """On a host people decide, so it is shown to them."""
    facts = replace(CLOSED, listeners=(Listener("tcp", EVERYWHERE, port),))
    assert verdict("open ports", role, facts) == wanted


def test_udp_is_never_expected() -> None:
    """Not on a port whose TCP twin is."""
    facts = replace(CLOSED, listeners=(Listener("udp", EVERYWHERE, 8080),))
    assert verdict("open ports", Role.GATEWAY, facts) == "fail"


@pytest.mark.parametrize(("inside", "wanted"), [(8443, "ok"), (8080, "fail"), (5432, "fail")])
def test_a_host_publishes_the_edge_alone(inside: int, wanted: str) -> None:
    """Under whatever number of its own."""
    facts = replace(CLOSED, published=(Published(18_443, inside),))
    assert verdict("published ports", Role.HOST, facts) == wanted


STATUS = CLOSED.status
assert STATUS is not None


@pytest.mark.parametrize(
    ("check", "changed"),
    [
        ("capabilities", replace(STATUS, capabilities={**STATUS.capabilities, "CapBnd": 1})),
        ("new privileges", replace(STATUS, no_new_privileges=False)),
        ("seccomp", replace(STATUS, seccomp=0)),
        ("user", replace(STATUS, uid=0)),
    ],
)
def test_each_right_that_is_left_fails(check: str, changed: Status) -> None:
    """With the line of the Compose file that takes it away."""
    line = lines(Role.GATEWAY, replace(CLOSED, status=changed))[check]
    assert line.verdict == "fail"
    assert "Compose file" in line.next


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("HTTP_PROXY", "fail"), ("https_proxy", "fail"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "fail"),
     ("SENTRY_DSN", "fail"), ("LANGCHAIN_TRACING_V2", "fail"), ("OTEL_SDK_DISABLED", "ok"),
     ("APPLIANCE_SITE__NAME", "ok")],
)  # fmt: skip
def test_variables_that_report_or_divert_are_named(name: str, wanted: str) -> None:
    """By name; what they are set to may be a secret and is not even read."""
    assert verdict("environment", Role.GATEWAY, replace(CLOSED, environment=(name,))) == wanted


@pytest.mark.parametrize(
    ("what", "check"),
    [("routes", "routes"), ("listeners", "open ports"), ("status", "rights"),
     ("root_read_only", "root file system"), ("environment", "environment")],
)  # fmt: skip
def test_what_cannot_be_read_fails(what: str, check: str) -> None:
    """Not to know is not to be closed."""
    facts = replace(CLOSED, **{what: None}, unreadable={what: "permission denied"})  # type: ignore[arg-type]  # by name
    assert verdict(check, Role.GATEWAY, facts) == "fail"


def test_elsewhere_it_says_that_this_is_no_stack() -> None:
    """On a developer's machine much is open, and that says nothing about the hospital's."""
    assert lines(Role.MACHINE)["place"].verdict == "warn"
    assert "stack" in lines(Role.MACHINE)["place"].next


def test_name_servers_that_cannot_be_read_are_no_proof() -> None:
    """As for everything else that could not be looked at."""
    facts = replace(CLOSED, name_servers=None, unreadable={"resolver": "permission denied"})
    assert lines(Role.ENGINE, facts)["name servers"].verdict == "fail"


def test_public_addresses_that_nobody_could_try_are_no_proof() -> None:
    """Of some kinds none can be tried, as without IPv6; of all of them is another matter."""
    probes = [Probe(Kind.TCP, at, 80, To.PUBLIC) for at in ("1.1.1.1", "2620:fe::fe")]
    tried = [Result(probes[0], Outcome.SILENT), Result(probes[1], Outcome.UNAVAILABLE)]
    assert "public addresses" not in lines(Role.ENGINE, CLOSED, *tried)
    none = [Result(probe, Outcome.UNAVAILABLE) for probe in probes]
    assert lines(Role.ENGINE, CLOSED, *none)["public addresses"].verdict == "fail"
