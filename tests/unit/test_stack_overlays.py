"""The checker of Compose files: what overlays may add to the stack, and what they may not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from appliance.stack_file import findings
from tests.unit.test_stack_file import CLOSED, PUBLISHED, Stack, sound, volume

NVIDIA = {"driver": "nvidia", "count": -1, "capabilities": ["gpu", "compute", "utility"]}
KFD = {"source": "/dev/kfd", "target": "/dev/kfd", "permissions": "rw"}
DRI = {"source": "/dev/dri", "target": "/dev/dri", "permissions": "rw"}


def reserving(device: dict[str, Any]) -> dict[str, Any]:
    return {"placement": {}, "resources": {"reservations": {"devices": [device]}}}


def with_nvidia(stack: Stack) -> None:
    stack["services"]["engine"]["deploy"] = reserving(NVIDIA)


def with_amd(stack: Stack) -> None:
    stack["services"]["engine"].update(devices=[KFD, DRI], group_add=["10002", "104", 44])


def with_amd_as_text(stack: Stack) -> None:
    """As older versions of Compose print it."""
    devices = ["/dev/kfd:/dev/kfd:rw", "/dev/dri/renderD128:/dev/dri/renderD128:rw"]
    stack["services"]["engine"].update(devices=devices, group_add=["10002", "993"])


def with_ollama(stack: Stack) -> None:
    stack["services"]["engine"].update(scale=0, deploy={"replicas": 0})
    own = {"user": "10004:10004", "networks": {"back": None}, "volumes": [volume("ollama-models")]}
    stack["services"]["ollama"] = {**copy.deepcopy(CLOSED), **own}
    stack["volumes"] = {"ollama-models": {"name": "appliance_ollama-models"}}


def with_llama_server(stack: Stack) -> None:
    stack["services"]["engine"].update(scale=0)
    own = {"user": "10005:10005", "networks": {"back": None}, "group_add": ["10002"]}
    models = [volume("models", read_only=True)]
    stack["services"]["llama-server"] = {**copy.deepcopy(CLOSED), **own, "volumes": models}


@pytest.mark.parametrize(
    "overlay", [with_nvidia, with_amd, with_amd_as_text, with_ollama, with_llama_server]
)
def test_what_overlays_add_is_no_finding(overlay: Callable[[Stack], None]) -> None:
    """GPUs in the engine; an engine of somebody else on `back`, closed like the others."""
    stack = sound()
    overlay(stack)
    assert findings(stack) == []


def engine(**changes: Any) -> Callable[[Stack], None]:
    def change(stack: Stack) -> None:
        stack["services"]["engine"].update(changes)

    return change


def ollama(**changes: Any) -> Callable[[Stack], None]:
    def change(stack: Stack) -> None:
        with_ollama(stack)
        stack["services"]["ollama"].update(changes)

    return change


def llama_server(**changes: Any) -> Callable[[Stack], None]:
    def change(stack: Stack) -> None:
        with_llama_server(stack)
        stack["services"]["llama-server"].update(changes)

    return change


def volumes(name: str, /, **stated: Any) -> Callable[[Stack], None]:
    def change(stack: Stack) -> None:
        stack["volumes"] = {name: stated}

    return change


def sharing(stack: Stack) -> None:
    for name in ("edge", "engine"):
        stack["services"][name]["volumes"].append(volume("notes"))
    stack["volumes"] = {"notes": {}}


def alone(stack: Stack) -> None:
    stack["services"]["engine"].update(scale=0)


def device(source: str, target: str | None = None, rights: str = "rw") -> dict[str, str]:
    return {"source": source, "target": target or source, "permissions": rights}


TAKER = "only engine may have one, a GPU under its own name"
NO_GROUP = "that group's files are not for it"
REFUSED = {
    "a disk": (
        engine(devices=[device("/dev/sda")]),
        f"service engine: device /dev/sda: {TAKER}",
    ),
    "a path that only begins like a GPU": (
        engine(devices=[device("/dev/dri/../sda")]),
        f"service engine: device /dev/dri/../sda: {TAKER}",
    ),
    "memory under a GPU's name": (
        engine(devices=[device("/dev/mem", "/dev/kfd")]),
        f"service engine: device /dev/mem: {TAKER}",
    ),
    "a GPU that looks like something else": (
        engine(devices=[device("/dev/kfd", "/dev/null")]),
        f"service engine: device /dev/kfd: {TAKER}",
    ),
    "the right to make device files": (
        engine(devices=["/dev/kfd"]),
        "service engine: device /dev/kfd: rwm lets it make device files",
    ),
    "a GPU for another": (
        ollama(devices=[KFD]),
        f"service ollama: device /dev/kfd: {TAKER}",
    ),
    "NVIDIA's for another": (
        ollama(deploy=reserving(NVIDIA)),
        "service ollama: reserves a device of nvidia: only engine may, an NVIDIA GPU",
    ),
    "another driver": (
        engine(deploy=reserving({**NVIDIA, "driver": "cdi"})),
        "service engine: reserves a device of cdi: only engine may, an NVIDIA GPU",
    ),
    "a display": (
        engine(deploy=reserving({**NVIDIA, "capabilities": ["gpu", "display"]})),
        "service engine: reserves a GPU with display, which computing has no use for",
    ),
    "options of a driver": (
        engine(deploy=reserving({**NVIDIA, "options": {"virtualization": "true"}})),
        "service engine: reserves a GPU with options",
    ),
    "limits that replace those of the file": (
        engine(deploy={"resources": {"limits": {"memory": "64g"}}}),
        "service engine: deploy.resources.limits is set",
    ),
    "all GPUs by the short word": (engine(gpus="all"), "service engine: gpus is set"),
    "a group without a GPU": (
        engine(group_add=["104"]),
        f"service engine: group_add 104: {NO_GROUP}",
    ),
    "the disks' group": (
        engine(devices=[KFD], group_add=["6"]),
        f"service engine: group_add 6: {NO_GROUP}",
    ),
    "the record's group": (
        engine(devices=[KFD], group_add=["10001"]),
        f"service engine: group_add 10001: {NO_GROUP}",
    ),
    "a group by name": (
        engine(devices=[KFD], group_add=["docker"]),
        f"service engine: group_add docker: {NO_GROUP}",
    ),
    "Ollama on front": (
        ollama(networks={"back": None, "front": None}),
        "service ollama: is on the network front",
    ),
    "Ollama on edge": (
        ollama(networks={"back": None, "edge": None}),
        "service ollama: is on the network edge, which leads outside",
    ),
    "Ollama published": (
        ollama(ports=[{**PUBLISHED, "target": 11434}]),
        "service ollama: publishes port 11434",
    ),
    "Ollama privileged": (ollama(privileged=True), "service ollama: privileged"),
    "Ollama with the library": (
        ollama(volumes=[volume("models", read_only=True)]),
        "service ollama: mounts models, which belongs to others",
    ),
    "Ollama of the gateway's group": (
        ollama(group_add=["10002"]),
        f"service ollama: group_add 10002: {NO_GROUP}",
    ),
    "Ollama from a registry": (
        ollama(pull_policy="missing"),
        "service ollama: pull_policy: never is missing",
    ),
    "models that llama-server can write": (
        llama_server(volumes=[volume("models")]),
        "service llama-server: mounts models and may write to it",
    ),
    "llama-server with a key": (
        llama_server(volumes=[volume("gateway-keys", read_only=True)]),
        "service llama-server: mounts gateway-keys, which belongs to others",
    ),
    "no engine at all": (
        alone,
        "service engine: has no container, and no other engine takes its place",
    ),
    "two writers of the record": (
        lambda stack: stack["services"]["ledger"].update(scale=2),
        "service ledger: has 2 containers instead of one",
    ),
    "no edge": (
        lambda stack: stack["services"]["edge"].update(deploy={"replicas": 0}),
        "service edge: has 0 containers instead of one",
    ),
    "a folder of the host as a volume": (
        volumes("models", driver_opts={"type": "none", "o": "bind", "device": "/"}),
        "volume models: driver_opts: it would be a folder of the host, or lie elsewhere",
    ),
    "a volume of somebody else": (
        volumes("gateway-keys", external=True),
        "volume gateway-keys: is external: others may have it",
    ),
    "the gateway's keys under another name": (
        volumes("notes", name="appliance_gateway-keys"),
        "volume notes: is appliance_gateway-keys under another name, which hides whose it is",
    ),
    "a volume between two": (sharing, "volume notes: is shared by edge and engine"),
    "Docker's socket by a word": (
        engine(use_api_socket=True),
        "service engine: use_api_socket is set",
    ),
    "a program on the host": (
        engine(provider={"type": "compose-plugin"}),
        "service engine: provider is set",
    ),
    "a root's shell after the start": (
        engine(post_start=[{"command": ["sh"], "user": "root", "privileged": True}]),
        "service engine: post_start is set",
    ),
    "logs that are sent away": (
        engine(logging={"driver": "gelf", "options": {"max-size": "10m"}}),
        "service engine: logging by gelf: its log would leave this machine",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_an_overlay_must_not_add_is_named(what: str) -> None:
    """That one thing, once, with the service or volume it is about."""
    change, said = REFUSED[what]
    stack = sound()
    change(stack)
    assert findings(stack) == [said]
