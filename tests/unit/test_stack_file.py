"""The checker of Compose files: silent about the stack's own, and it names what opens it."""

from __future__ import annotations

import copy
import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from appliance import stack_file
from appliance.stack_file import findings

Stack = dict[str, Any]
CLOSED: Stack = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "dns": ["127.0.0.1"],
    "mem_limit": "1073741824",
    "pids_limit": 64,
    "cpus": 1,
    "pull_policy": "never",
    "restart": "unless-stopped",
    "healthcheck": {"test": ["CMD", "true"]},
    "logging": {"driver": "local", "options": {"max-size": "10m"}},
}
NAME = "com.docker.network.bridge.name"
BETWEEN = "com.docker.network.bridge.enable_icc"
OUTER_OPTIONS = {
    NAME: "appl-edge",
    "com.docker.network.bridge.enable_ip_masquerade": "false",
    BETWEEN: "false",
}
TLS = {"type": "bind", "source": "/etc/appliance/tls", "target": "/run/tls", "read_only": True}


def volume(source: str, *, read_only: bool = False) -> dict[str, Any]:
    return {"type": "volume", "source": source, "target": f"/{source}", "read_only": read_only}


def sound() -> Stack:
    """Return the stack as `docker compose config --format json` gives it, in short."""
    port = {"mode": "ingress", "target": 8443, "published": "443", "protocol": "tcp"}
    services: Stack = {
        "edge": {"user": "10000:10000", "networks": {"edge": None, "front": None}, "ports": [port]},
        "gateway": {"user": "10002:10002", "networks": {"front": None, "back": None}},
        "ledger": {"user": "10001:10001", "network_mode": "none"},
        "engine": {"user": "10003:10003", "network_mode": "none"},
    }
    mounts = {
        "edge": [TLS],
        "gateway": [volume("gateway-state"), volume("ledger-sockets", read_only=True)],
        "ledger": [volume("ledger-state"), volume("ledger-sockets")],
        "engine": [volume("models", read_only=True), {"type": "tmpfs", "target": "/tmp"}],  # noqa: S108 - in a container
    }
    inner = {
        name: {"driver_opts": {NAME: f"appl-{name}"}, "internal": True}
        for name in ("front", "back")
    }
    return copy.deepcopy(
        {
            "name": "appliance",
            "services": {
                name: {**CLOSED, **service, "volumes": mounts[name]}
                for name, service in services.items()
            },
            "networks": {"edge": {"driver_opts": OUTER_OPTIONS}, **inner},
        }
    )


def test_a_closed_stack_has_no_finding() -> None:
    """Nothing is said of what is as it should be."""
    assert findings(sound()) == []


def broken(service: str, **changes: Any) -> Callable[[Stack], None]:
    def change(stack: Stack) -> None:
        stack["services"][service].update(changes)

    return change


def without(service: str, key: str) -> Callable[[Stack], None]:
    def change(stack: Stack) -> None:
        del stack["services"][service][key]

    return change


def network(name: str, **changes: Any) -> Callable[[Stack], None]:
    def change(stack: Stack) -> None:
        stack["networks"][name].update(changes)

    return change


def mounting(service: str, mount: dict[str, Any]) -> Callable[[Stack], None]:
    def change(stack: Stack) -> None:
        stack["services"][service]["volumes"].append(mount)

    return change


PUBLISHED = {"target": 8080, "published": "8080", "protocol": "tcp"}
BROKEN = {
    "engine on the edge network": (
        broken("engine", network_mode=None, networks={"edge": None}),
        "service engine: is on the network edge, which leads outside",
    ),
    "ledger published": (
        broken("ledger", ports=[PUBLISHED]),
        "service ledger: publishes port 8080",
    ),
    "edge publishes more": (
        broken("edge", ports=[PUBLISHED]),
        "service edge: publishes 8080/tcp beside TLS",
    ),
    "front not internal": (
        network("front", internal=False),
        "network front: internal: true is missing: it leads outside",
    ),
    "edge masquerades": (
        network("edge", driver_opts={NAME: "appl-edge", BETWEEN: "false"}),
        f"network edge: {stack_file.MASQUERADE} must be false: it would lead outside",
    ),
    "another folder in the certificate's place": (
        mounting("edge", {**TLS, "source": "/var/run/docker.sock"}),
        "service edge: mounts /var/run/docker.sock of the host",
    ),
    "a mount that others of the host see": (
        mounting("edge", {**TLS, "bind": {"propagation": "rshared"}}),
        "service edge: mounts /etc/appliance/tls of the host",
    ),
    "the ledger's user": (
        broken("edge", user="10001:10001"),
        "service edge: user 10001:10001 is not its own, 10000:10000",
    ),
    "a group of the host": (
        broken("edge", user="10000:999"),
        "service edge: user 10000:999 is not its own, 10000:10000",
    ),
    "privileges that come back": (
        broken("engine", security_opt=["no-new-privileges:true", "no-new-privileges:false"]),
        "service engine: no-new-privileges is missing",
    ),
    "a log without an end": (
        broken("engine", logging={"driver": "local", "options": {"max-size": "-1"}}),
        "service engine: logging without max-size: its log would fill the disk",
    ),
    "the default network beside its own": (
        broken("gateway", networks={"front": None, "back": None, "default": None}),
        "service gateway: is on the network default, which leads outside",
    ),
    "an unknown key of a network": (
        network("back", attachable=True),
        "network back: attachable is set",
    ),
    "an unknown option of a network": (
        network("edge", driver_opts={**OUTER_OPTIONS, "x": "nat-unprotected"}),
        "network edge: driver_opts x: nat-unprotected",
    ),
    "a bridge of another name": (
        network("back", driver_opts={NAME: "evil-back"}),
        "network back: com.docker.network.bridge.name is not the one that the firewall knows",
    ),
    "containers that meet on the outer network": (
        network("edge", driver_opts={**OUTER_OPTIONS, BETWEEN: "true"}),
        "network edge: com.docker.network.bridge.enable_icc must be false: it would lead outside",
    ),
    "a bridge without rules": (
        network("back", driver_opts={}),
        "network back: com.docker.network.bridge.name is not the one that the firewall knows",
    ),
    "IPv6": (
        network("back", enable_ipv6=True),
        "network back: enable_ipv6: it would have a second way",
    ),
    "external network": (
        network("back", external=True),
        "network back: is external: others may be on it",
    ),
    "macvlan": (
        network("back", driver="macvlan"),
        "network back: driver macvlan: the firewall knows bridges alone",
    ),
    "the host's network": (
        broken("ledger", network_mode="host"),
        "service ledger: network_mode host",
    ),
    "another's network": (
        broken("ledger", network_mode="service:edge"),
        "service ledger: network_mode service:edge",
    ),
    "the default network": (
        without("ledger", "network_mode"),
        "service ledger: is on the default network, which leads outside",
    ),
    "gateway on the edge network": (
        broken("gateway", networks={"edge": None, "front": None}),
        "service gateway: is on the network edge, which leads outside",
    ),
    "names are asked for": (
        without("edge", "dns"),
        'service edge: dns: ["127.0.0.1"] is missing: names would be asked for outside',
    ),
    "the record mounted twice": (
        mounting("gateway", volume("ledger-state", read_only=True)),
        "service gateway: mounts ledger-state, which belongs to others",
    ),
    "sockets that can be replaced": (
        mounting("gateway", volume("engine-sockets")),
        "service gateway: mounts engine-sockets and may write to it",
    ),
    "models that the engine can write": (
        mounting("engine", volume("models")),
        "service engine: mounts models and may write to it",
    ),
    "Docker's socket": (
        mounting("edge", {"type": "bind", "source": "/var/run/docker.sock", "read_only": True}),
        "service edge: mounts /var/run/docker.sock of the host",
    ),
    "a certificate that can be written": (
        broken("edge", volumes=[{**TLS, "read_only": False}]),
        "service edge: mounts /etc/appliance/tls of the host",
    ),
    "root": (
        broken("engine", user="0:0"),
        "service engine: user is not a number of its own and a group, so it may be root",
    ),
    "no user": (
        without("engine", "user"),
        "service engine: user is not a number of its own and a group, so it may be root",
    ),
    "writable": (
        without("edge", "read_only"),
        "service edge: read_only is missing: its root file system can be written",
    ),
    "capabilities": (
        broken("edge", cap_drop=["NET_RAW"]),
        "service edge: cap_drop: [ALL] is missing",
    ),
    "one capability more": (broken("edge", cap_add=["NET_ADMIN"]), "service edge: cap_add is set"),
    "privileged": (broken("edge", privileged=True), "service edge: privileged"),
    "new privileges": (
        broken("edge", security_opt=[]),
        "service edge: no-new-privileges is missing",
    ),
    "new privileges allowed": (
        broken("edge", security_opt=["no-new-privileges:false"]),
        "service edge: no-new-privileges is missing",
    ),
    "no seccomp": (
        broken("edge", security_opt=["no-new-privileges:true", "seccomp=unconfined"]),
        "service edge: security_opt seccomp:unconfined: Docker's own profiles are what is tested",
    ),
    "a device": (
        broken("edge", devices=[{"source": "/dev/sda"}]),
        "service edge: device /dev/sda: only engine may have one, a GPU under its own name",
    ),
    "the host's processes": (broken("ledger", pid="host"), "service ledger: pid is set"),
    "names of its own": (
        broken("gateway", extra_hosts=["host.docker.internal=host-gateway"]),
        "service gateway: extra_hosts is set",
    ),
    "root's group": (
        broken("gateway", group_add=["0"]),
        "service gateway: group_add 0: that group's files are not for it",
    ),
    "the edge's key": (
        broken("gateway", group_add=["10000"]),
        "service gateway: group_add 10000: that group's files are not for it",
    ),
    "no limit of memory": (without("engine", "mem_limit"), "service engine: mem_limit is missing"),
    "unlimited processes": (
        broken("engine", pids_limit=-1),
        "service engine: pids_limit is missing",
    ),
    "pulled": (
        broken("engine", pull_policy="always"),
        "service engine: pull_policy: never is missing",
    ),
    "never restarted": (without("engine", "restart"), "service engine: restart is missing"),
    "not watched": (
        broken("engine", healthcheck={"disable": True}),
        "service engine: healthcheck is missing",
    ),
    "an endless log": (
        without("engine", "logging"),
        "service engine: logging without max-size: its log would fill the disk",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_opens_the_stack_is_named(what: str) -> None:
    """That one thing, once, with the service or network it is about."""
    change, said = BROKEN[what]
    stack = sound()
    change(stack)
    assert findings(stack) == [said]


def test_a_missing_service_is_named() -> None:
    """Who takes the edge out and publishes the gateway gets both told."""
    stack = sound()
    del stack["services"]["edge"]
    assert findings(stack) == ["service edge: is missing"]


def test_a_stranger_may_be_on_back_alone() -> None:
    """An engine of somebody else, in an overlay, is closed like the others."""
    stack = sound()
    stack["services"]["ollama"] = {**CLOSED, "user": "10004:10004", "networks": {"back": None}}
    assert findings(stack) == []
    stack["services"]["ollama"]["networks"] = {"front": None}
    assert findings(stack) == ["service ollama: is on the network front"]


@pytest.mark.parametrize("is_sound", [True, False])
def test_the_program_says_it_by_its_exit_code(
    is_sound: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 for a closed stack; else 1, and a line for each finding."""
    stack = sound()
    if not is_sound:
        del stack["networks"]["back"]["internal"]
    monkeypatch.setattr(sys, "argv", ["stack_file", "appl", "/etc/appliance/tls"])
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(stack)))
    with pytest.raises(SystemExit) as ended:
        stack_file.main()
    assert ended.value.code == (0 if is_sound else 1)
    assert len(capsys.readouterr().out.splitlines()) == (0 if is_sound else 1)
