"""What a Compose file of the stack must not open; `docker compose config --format json` in.

Guarantee: of a file without findings, every container is closed as `compose/compose.yaml` closes
it, whatever overlays were added: no network leads outside but the edge's, nothing is published but
TLS, nobody is root, and each part's files are mounted by that part alone. A GPU is the engine's.
What is not known to be harmless is a finding. Pure, but for `main`.
Not here: whether a running container is as the file says (`appliance doctor --airgap`), and the
firewall, which no Compose file can state (`compose/firewall.sh`).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from appliance import stack_gpu

Service = Mapping[str, Any]

OUTER = "edge"
TLS_PORT = 8443
# Who may mount a folder of the host, where, and whether read-only: that of the certificate.
CERTIFICATE = {"edge": ("/run/tls", True), "tls": ("/var/lib/appliance/tls", False)}
NON_ROOT = re.compile(r"[1-9][0-9]*:[1-9][0-9]*")
# By user and group files and sockets are told apart, so nobody runs as somebody else.
USERS: Mapping[str, str] = {
    "edge": "10000:10000",
    "ledger": "10001:10001",
    "gateway": "10002:10002",
    "tls": "10002:10002",
    "engine": "10003:10003",
    "ollama": "10004:10004",
    "llama-server": "10005:10005",
}
# Users and groups of these numbers are Debian's and of the host, or those above.
FIRST_FREE = 10_006
# Who may mount a volume, and who of them may write to it. Others may be mounted by one service.
# An engine of somebody else gets weights read-only (llama-server), or none but what the gateway
# sends it (Ollama).
OWNERS: Mapping[str, Mapping[str, bool]] = {
    "ledger-state": {"ledger": True},
    "gateway-state": {"gateway": True, "tls": True},
    "gateway-keys": {"gateway": True, "tls": True},
    "models": {"gateway": True, "engine": False, "tls": True, "llama-server": False},
    "ledger-sockets": {"ledger": True, "gateway": False, "tls": False},
    "engine-sockets": {"engine": True, "gateway": False, "tls": False},
    "ollama-models": {"ollama": True},
}
# On which networks the known services may be; anything else may be on `back` alone.
PLACES: Mapping[str, frozenset[str]] = {
    "edge": frozenset({"edge", "front"}),
    "gateway": frozenset({"front", "back"}),
    "ledger": frozenset(),
    "engine": frozenset(),
    "tls": frozenset(),
}
RUNNING = ("edge", "gateway", "ledger", "engine")
# Groups by whose right a service calls the sockets, or reads the files, of another one.
GROUPS: Mapping[str, frozenset[str]] = {
    "gateway": frozenset({"10001", "10003"}),
    "engine": frozenset({"10002"}),
    "llama-server": frozenset({"10002"}),
    "tls": frozenset({"10000", "10001"}),
}
ELSEWHERE = frozenset({"back"})
# What is looked at here, and what opens nothing. Any other key is a finding, also one that only a
# later version of Compose knows: some run programs on the host, or hand in Docker's socket.
KEYS = frozenset(
    {
        "cap_drop", "command", "cpu_shares", "cpus", "cpuset", "depends_on", "deploy", "devices",
        "dns", "dns_search", "entrypoint", "environment", "expose", "group_add", "healthcheck",
        "hostname", "image", "init", "labels", "logging", "mem_limit", "mem_reservation",
        "memswap_limit", "network_mode", "networks", "pids_limit", "platform", "ports",
        "privileged", "profiles", "pull_policy", "read_only", "restart", "scale", "security_opt",
        "stop_grace_period", "stop_signal", "tmpfs", "ulimits", "user", "volumes", "working_dir",
    }
)  # fmt: skip
# Logs stay on this machine.
LOG_DRIVERS = ("local", "json-file")
SIZE = re.compile(r"[1-9][0-9]{0,3}[km]")
BRIDGE = "com.docker.network.bridge.name"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
BETWEEN = "com.docker.network.bridge.enable_icc"
ISOLATED = ("com.docker.network.bridge.gateway_mode_ipv4", "isolated")
NETWORK_KEYS = frozenset(
    {"driver", "driver_opts", "enable_ipv6", "external", "internal", "ipam", "labels", "name"}
)
# The one in compose/compose.yaml and compose/firewall.sh, unless APPLIANCE_BRIDGE names another.
PREFIX = "appl"
# Likewise, unless APPLIANCE_TLS names another.
CERTIFICATES = "/etc/appliance/tls"


def findings(
    stack: Mapping[str, Any], prefix: str = PREFIX, certificates: str = CERTIFICATES
) -> list[str]:
    """Return what is wrong with a file, one line each, in the order of its services.

    `prefix` is that of the bridges' names in the firewall's rules, `certificates` the one folder of
    the host that may be mounted.
    """
    services, networks = stack.get("services") or {}, stack.get("networks") or {}
    found = [
        f"service {name}: {what}"
        for name, service in services.items()
        for what in _service(name, service, certificates)
    ]
    found += [
        f"network {name}: {what}"
        for name, network in networks.items()
        for what in _network(name, network or {}, prefix)
    ]
    found += [
        f"volume {name}: {what}"
        for name, volume in (stack.get("volumes") or {}).items()
        for what in _volume(f"{stack.get('name')}_{name}", name, volume or {}, services)
    ]
    found += [f"service {name}: is missing" for name in RUNNING if name not in services]
    return found + list(_without_engine(services))


def _without_engine(services: Mapping[str, Service]) -> Iterator[str]:
    """Yield what is wrong where our own engine is left out: then another one takes its place."""
    if stack_gpu.containers(services.get("engine", {})) == 0 and not set(services) - set(PLACES):
        yield "service engine: has no container, and no other engine takes its place"


def _service(name: str, service: Service, certificates: str) -> Iterator[str]:
    yield from _rights(name, service)
    yield from _joined(name, service)
    yield from _limits(name, service)
    yield from _connections(name, service)
    yield from stack_gpu.devices(name, service)
    yield from stack_gpu.deployment(name, service)
    for mount in service.get("volumes") or []:
        yield from _mount(name, mount, certificates)


def _rights(name: str, service: Service) -> Iterator[str]:
    """Yield what lets a container do more than its program needs."""
    yield from _user(name, str(service.get("user", "")))
    if service.get("read_only") is not True:
        yield "read_only is missing: its root file system can be written"
    if "ALL" not in (service.get("cap_drop") or []):
        yield "cap_drop: [ALL] is missing"
    if service.get("privileged"):
        yield "privileged"
    options = [str(option).replace("=", ":") for option in service.get("security_opt") or []]
    # Of two that contradict each other, which counts is the engine's to say.
    stated = {option for option in options if option.startswith("no-new-privileges")}
    if not stated or stated - {"no-new-privileges", "no-new-privileges:true"}:
        yield "no-new-privileges is missing"
    for option in options:
        if option not in stated:
            yield f"security_opt {option}: Docker's own profiles are what is tested"


def _user(name: str, user: str) -> Iterator[str]:
    if not NON_ROOT.fullmatch(user):
        yield "user is not a number of its own and a group, so it may be root"
    elif name in USERS:
        if user != USERS[name]:
            yield f"user {user} is not its own, {USERS[name]}"
    elif min(map(int, user.split(":"))) < FIRST_FREE:
        yield f"user {user} is somebody else, here or on the host"


def _joined(name: str, service: Service) -> Iterator[str]:
    """Yield what joins a container with the host, or with the files of another one."""
    for key in service:
        if key not in KEYS and not key.startswith("x-") and service[key]:
            yield f"{key} is set"
    for group in map(str, service.get("group_add") or []):
        known = group in GROUPS.get(name, frozenset())
        if not known and not stack_gpu.is_group_of_gpu(name, service, group):
            yield f"group_add {group}: that group's files are not for it"


def _limits(name: str, service: Service) -> Iterator[str]:
    """Yield what lets one container take the machine from the others, or never come back."""
    count = stack_gpu.containers(service)
    if count != 1 and (name, count) != ("engine", 0):
        yield f"has {count} containers instead of one"
    # Compose says -1 and 0 for "none".
    for key in ("mem_limit", "pids_limit", "cpus"):
        if float(service.get(key) or 0) <= 0:
            yield f"{key} is missing"
    if service.get("pull_policy") != "never":
        yield "pull_policy: never is missing"
    if service.get("restart", "no") == "no" and not service.get("profiles"):
        yield "restart is missing"
    if not _is_watched(service) and not service.get("profiles"):
        yield "healthcheck is missing"
    logging = service.get("logging") or {}
    if not SIZE.fullmatch(str((logging.get("options") or {}).get("max-size", ""))):
        yield "logging without max-size: its log would fill the disk"
    if (logging.get("driver") or "json-file") not in LOG_DRIVERS:
        yield f"logging by {logging['driver']}: its log would leave this machine"


def _is_watched(service: Service) -> bool:
    check = service.get("healthcheck") or {}
    return not check.get("disable") and (check.get("test") or ["NONE"])[0] != "NONE"


def _connections(name: str, service: Service) -> Iterator[str]:
    mode, places = service.get("network_mode"), set(service.get("networks") or {})
    allowed = PLACES.get(name, ELSEWHERE)
    if mode is not None and mode != "none":
        yield f"network_mode {mode}"
    if mode is None and not places:
        yield "is on the default network, which leads outside"
    for place in sorted(places - allowed):
        tail = ", which leads outside" if place in {OUTER, "default"} else ""
        yield f"is on the network {place}{tail}"
    if mode is None and [str(server) for server in service.get("dns") or []] != ["127.0.0.1"]:
        yield 'dns: ["127.0.0.1"] is missing: names would be asked for outside'
    for port in service.get("ports") or []:
        if name != OUTER:
            yield f"publishes port {port.get('target')}"
        elif port.get("target") != TLS_PORT or port.get("protocol", "tcp") != "tcp":
            yield f"publishes {port.get('target')}/{port.get('protocol', 'tcp')} beside TLS"


def _mount(name: str, mount: Mapping[str, Any], certificates: str) -> Iterator[str]:
    kind, source = mount.get("type"), str(mount.get("source", ""))
    is_read_only = mount.get("read_only") is True
    if kind == "tmpfs":
        return
    if kind == "bind":
        place = (mount.get("target"), is_read_only)
        options = {key for key, value in (mount.get("bind") or {}).items() if value}
        if source != certificates or place != CERTIFICATE.get(name) or options:
            yield f"mounts {source} of the host"
    elif kind != "volume":
        yield f"mounts a {kind}"
    elif source in OWNERS:
        writes = OWNERS[source].get(name)
        if writes is None:
            yield f"mounts {source}, which belongs to others"
        elif not writes and not is_read_only:
            yield f"mounts {source} and may write to it"


def _volume(
    own: str, name: str, volume: Mapping[str, Any], services: Mapping[str, Service]
) -> Iterator[str]:
    if volume.get("name", own) != own:
        yield f"is {volume['name']} under another name, which hides whose it is"
    if volume.get("external"):
        yield "is external: others may have it"
    if (volume.get("driver") or "local") != "local" or volume.get("driver_opts"):
        yield "driver_opts: it would be a folder of the host, or lie elsewhere"
    users = [
        service
        for service, stated in services.items()
        if any(mount.get("source") == name for mount in stated.get("volumes") or [])
    ]
    if name not in OWNERS and len(users) > 1:
        yield f"is shared by {' and '.join(users)}"


def _unknown(name: str, network: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(set(network) - NETWORK_KEYS):
        if network[key]:
            yield f"{key} is set"
    for option, value in sorted((network.get("driver_opts") or {}).items()):
        if option not in {BRIDGE, MASQUERADE, BETWEEN} and (option, value) != ISOLATED:
            yield f"driver_opts {option}: {value}"
    if (network.get("ipam") or {}).get("config"):
        yield "ipam.config is set: addresses are Docker's to give"
    if name == OUTER and ISOLATED[0] in (network.get("driver_opts") or {}):
        yield f"driver_opts {ISOLATED[0]} is for internal networks"


def _network(name: str, network: Mapping[str, Any], prefix: str) -> Iterator[str]:
    yield from _unknown(name, network)
    if network.get("external"):
        yield "is external: others may be on it"
    if (network.get("driver") or "bridge") != "bridge":
        yield f"driver {network.get('driver')}: the firewall knows bridges alone"
    if network.get("enable_ipv6"):
        yield "enable_ipv6: it would have a second way"
    options = network.get("driver_opts") or {}
    if options.get(BRIDGE) != f"{prefix}-{name}":
        yield f"{BRIDGE} is not the one that the firewall knows"
    if name != OUTER and network.get("internal") is not True:
        yield "internal: true is missing: it leads outside"
    for option in (MASQUERADE, BETWEEN) if name == OUTER else ():
        if str(options.get(option, "true")) != "false":
            yield f"{option} must be false: it would lead outside"


def main() -> None:
    """Read a file from standard input; exit 1 and print one line per finding.

    Arguments there may be: the prefix of the bridges' names, and the folder of certificates.
    """
    found = findings(json.load(sys.stdin), *sys.argv[1:3])
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
