"""What the machine has, and why a GPU lies idle, in words that lead somewhere."""

from __future__ import annotations

import pytest

from appliance.llama.placing.devices import Device, devices
from appliance.llama.placing.hardware import Machine, idle_gpu, this_machine
from appliance.llama.placing.nvidia import Driver, SeenGpu
from appliance.llama.placing.ram import Ram

RAM = Ram(2**34, 2**33)
SEEN = SeenGpu(0, "NVIDIA L40S", 2**35, 2**35, "8.9")
USABLE = Device("CUDA0", "NVIDIA L40S", 2**35, 2**35)


@pytest.mark.parametrize(
    ("driver", "said", "then"),
    [
        (Driver((SEEN,), "", 1, True, True), "this build of llama.cpp cannot use it", "CUDA"),
        (Driver((), "nvidia-smi is not installed", 1), "driver is not loaded", "driver"),
        (Driver((), "x", 1, True, False), "cannot be seen from here", "container toolkit"),
        (Driver((), "nvidia-smi failed: x", 1, True, True), "nvidia-smi failed: x", "kernel log"),
    ],
)
def test_an_idle_gpu_has_a_reason_and_a_next_step(driver: Driver, said: str, then: str) -> None:
    """Answers at a tenth of the speed would be the only sign otherwise."""
    idle = idle_gpu(Machine(8, RAM, (), driver))
    assert idle is not None
    assert said in idle.reason
    assert then in idle.next
    assert "use-a-gpu.md" in idle.next


@pytest.mark.parametrize(
    "machine",
    [
        Machine(8, RAM),
        Machine(8, RAM, (), Driver((), "nvidia-smi is not installed")),
        Machine(8, RAM, (USABLE,), Driver((SEEN,), "", 1, True, True)),
        Machine(8, RAM, (USABLE,), Driver((), "nvidia-smi is not installed", 1, True, True)),
    ],
)
def test_no_gpu_and_a_used_one_are_no_trouble(machine: Machine) -> None:
    """The tool may be missing where llama.cpp finds the GPU all the same."""
    assert idle_gpu(machine) is None


def test_this_machine_is_read() -> None:
    """Cores and memory are there; every GPU has a name and no more free than it has."""
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.ram.available > 0
    assert all(one.name and one.free_bytes <= one.total_bytes for one in machine.devices)


def test_the_processor_is_no_gpu() -> None:
    """llama.cpp lists it as a device too."""
    assert "CPU" not in {one.name for one in devices()}
