"""What this machine has for a model: cores, memory, GPUs; and why a GPU lies idle.

Guarantee: a GPU that is in the machine and cannot be used has a reason and a next step, so that
nobody wonders for weeks why answers are slow. Not here: what goes where (`placement`).
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.llama.placing.cores import default_threads
from appliance.llama.placing.devices import Device, devices
from appliance.llama.placing.nvidia import Driver, driver
from appliance.llama.placing.ram import Ram, ram

GUIDE = "docs/how-to/use-a-gpu.md"
NO_DRIVER = Driver((), "")


@dataclass(frozen=True)
class Machine:
    """Cores that this process may use, memory, GPUs that llama.cpp can use, and the driver's."""

    cores: int
    ram: Ram
    devices: tuple[Device, ...] = ()
    driver: Driver = NO_DRIVER


@dataclass(frozen=True)
class Idle:
    """A GPU that is there and not used: what is the matter, and what to do next."""

    reason: str
    next: str


def this_machine() -> Machine:
    """Look at the machine now; takes a few seconds at most."""
    return Machine(default_threads(), ram(), devices(), driver())


def idle_gpu(machine: Machine) -> Idle | None:
    """Say why a GPU in this machine cannot be used; None when it can, or when there is none."""
    found = machine.driver
    if machine.devices or not (found.gpus or found.cards):
        return None
    if found.gpus:
        names = ", ".join(dict.fromkeys(gpu.name for gpu in found.gpus))
        return Idle(
            f"the driver shows {len(found.gpus)} GPU ({names}), but this build of llama.cpp "
            "cannot use it; models run on the processor",
            f"install the llama-cpp-python that was built for CUDA: {GUIDE}",
        )
    if not found.loaded:
        return Idle(
            "an NVIDIA GPU is in this machine, but its driver is not loaded",
            f"install the driver on the host and restart it: {GUIDE}",
        )
    if not found.passed_in:
        return Idle(
            "the GPU's driver is loaded, but its devices cannot be seen from here",
            f"install the NVIDIA container toolkit and pass the GPU into the container: {GUIDE}",
        )
    return Idle(
        f"an NVIDIA GPU is in this machine, but its driver does not show it ({found.reason})",
        f"run nvidia-smi on the host, and look at its kernel log: {GUIDE}",
    )
