"""What of a GPU a Compose file may hand in: to the engine, and nothing that is no GPU (pure).

Guarantee: a device that is not known to be a GPU's, a driver that is not NVIDIA's, and a group
that could be anybody else's are findings, and so is any of it in another service.
Not here: whether the engine's image can use what it is handed, and everything else of the file
(`stack_file`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Service = Mapping[str, Any]

TAKER = "engine"
# AMD: the compute interface, and the cards' nodes. The folder, since their numbers differ.
DEVICES = re.compile(r"/dev/kfd|/dev/dri(/renderD[0-9]{1,3})?")
# What a program computes with; not `graphics`, `display` or `video`.
CAPABILITIES = frozenset({"gpu", "compute", "utility"})
# Debian gives `video` this number everywhere, and `render` one from 100 on. Below lie groups such
# as `disk` and `shadow`; from 10000 on the stack's own begin.
VIDEO, FIRST_LOCAL, FIRST_OURS = 44, 100, 10_000
# What Compose writes there by itself.
KNOWN_DEPLOY = frozenset({"replicas", "resources", "placement"})


def devices(name: str, service: Service) -> Iterator[str]:
    """Yield the devices of the host that a service must not have."""
    for device in service.get("devices") or []:
        source, target, rights = _parts(device)
        if name != TAKER or not DEVICES.fullmatch(source) or source != target:
            yield f"device {source}: only {TAKER} may have one, a GPU under its own name"
        elif "m" in rights:
            yield f"device {source}: {rights} lets it make device files"


def _parts(device: Any) -> tuple[str, str, str]:
    """Return source, target and rights: newer versions of Compose give an object, older a text."""
    if isinstance(device, Mapping):
        source = str(device.get("source", ""))
        return source, str(device.get("target", source)), str(device.get("permissions", "rwm"))
    source, _, rest = str(device).partition(":")
    target, _, rights = rest.partition(":")
    return source, target or source, rights or "rwm"


def is_group_of_gpu(name: str, service: Service, group: str) -> bool:
    """Tell whether this may be the group of AMD's device files, which differs between hosts."""
    if name != TAKER or not service.get("devices") or not group.isdecimal():
        return False
    return int(group) == VIDEO or FIRST_LOCAL <= int(group) < FIRST_OURS


def deployment(name: str, service: Service) -> Iterator[str]:
    """Yield what `deploy` must not state: more than a count of containers and NVIDIA's GPUs."""
    deploy = service.get("deploy") or {}
    resources = deploy.get("resources") or {}
    reserved = resources.get("reservations") or {}
    places = (("deploy", deploy, KNOWN_DEPLOY), ("deploy.resources", resources, {"reservations"}),
              ("deploy.resources.reservations", reserved, {"devices"}))  # fmt: skip
    for place, found, known in places:
        for key in sorted(set(found) - set(known)):
            if found[key]:
                yield f"{place}.{key} is set"
    for device in reserved.get("devices") or []:
        if name != TAKER or device.get("driver") != "nvidia":
            yield f"reserves a device of {device.get('driver')}: only {TAKER} may, an NVIDIA GPU"
        for capability in sorted(set(device.get("capabilities") or []) - CAPABILITIES):
            yield f"reserves a GPU with {capability}, which computing has no use for"
        if device.get("options"):
            yield "reserves a GPU with options"


def containers(service: Service) -> int:
    """Return how many containers of a service run."""
    deploy = service.get("deploy") or {}
    for stated in (service.get("scale"), deploy.get("replicas")):
        if stated is not None:
            return int(stated)
    return 1
