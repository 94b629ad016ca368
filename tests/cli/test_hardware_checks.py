"""What the doctor says of the hardware that models run on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from appliance.cli.checks.hardware import judge, judge_floor
from appliance.config import Engine as Settings
from appliance.llama.placing.devices import Device
from appliance.llama.placing.hardware import Machine
from appliance.llama.placing.memory import GIB
from appliance.llama.placing.nvidia import Driver, SeenGpu
from appliance.llama.placing.ram import Ram
from tests.cli.conftest import Run

AUTO = Settings()
PLAIN = Machine(8, Ram(32 * GIB, 24 * GIB))
GPU = replace(PLAIN, devices=(Device("CUDA0", "NVIDIA L4", 23 * GIB, 22 * GIB),))
IDLE = replace(
    PLAIN, driver=Driver((SeenGpu(0, "NVIDIA L4", None, None, "8.9"),), "", 1, True, True)
)


@pytest.mark.parametrize(
    ("there", "settings", "verdict", "said"),
    [
        (PLAIN, AUTO, "ok", "8 cores and 24.0 GiB of memory for models; no GPU is used"),
        (GPU, AUTO, "ok", "GPU: CUDA0 NVIDIA L4 (22.0 GiB of 23.0 GiB free)"),
        (GPU, replace(AUTO, gpu_layers=0), "ok", "engine.gpu_layers is 0"),
        (IDLE, AUTO, "warn", "this build of llama.cpp cannot use it"),
        (IDLE, replace(AUTO, gpu_layers=0), "ok", "no GPU is used"),
        (PLAIN, replace(AUTO, gpu_layers=40), "warn", "no GPU, though engine.gpu_layers is 40"),
        (PLAIN, replace(AUTO, threads=16), "warn", "more than there are cores"),
    ],
)
def test_the_doctor_names_what_models_run_on(
    there: Machine, settings: Settings, verdict: str, said: str
) -> None:
    """A GPU that lies idle against the settings is a warning with a next step; a choice is not."""
    finding = judge(there, settings)
    assert finding.verdict == verdict
    assert said in finding.found
    assert bool(finding.next) == (verdict == "warn")


@pytest.mark.parametrize(
    ("there", "needed", "verdict", "said"),
    [
        (PLAIN, 16 * 1_024, "ok", "this machine has 32.0 GiB"),
        (GPU, 16 * 1_024, "ok", "the GPUs have 23.0 GiB"),
        (GPU, 25 * 1_024, "warn", "a part runs on the processor"),
        (GPU, 64 * 1_024, "warn", "this machine has 32.0 GiB in one place"),
        (PLAIN, 64 * 1_024, "warn", "this machine has 32.0 GiB in one place"),
    ],
)
def test_the_card_s_floor_is_compared(there: Machine, needed: int, verdict: str, said: str) -> None:
    """What an approver read on the card is what the machine is measured against."""
    finding = judge_floor("qwen", {"hardware_floor": {"memory_mib": needed}}, there, AUTO)
    assert (finding.verdict, said in finding.found) == (verdict, True)
    assert f"asks for {needed // 1_024}.0 GiB" in finding.found


def test_a_gpu_that_must_stay_free_does_not_count() -> None:
    """Then the machine's own memory has to hold the model."""
    asked = {"hardware_floor": {"memory_mib": 16 * 1_024}}
    finding = judge_floor("qwen", asked, GPU, replace(AUTO, gpu_layers=0))
    assert "this machine has" in finding.found


@pytest.mark.parametrize(
    "card", [{}, {"hardware_floor": "much"}, {"hardware_floor": {"memory_mib": "64"}},
             {"hardware_floor": {"memory_mib": True}}, {"hardware_floor": {"memory_mib": -1}}],
)  # fmt: skip
def test_a_card_without_a_number_asks_for_nothing(card: dict[str, Any]) -> None:
    """A card is written by people, and is no reason for the doctor to fail."""
    assert judge_floor("qwen", card, PLAIN, AUTO).verdict == "ok"


def test_the_doctor_looks_at_the_real_machine(appliance: Run) -> None:
    """Also without a running appliance; this demo model's card names no memory."""
    found = {item["check"]: item for item in appliance("doctor", "--json").value}
    assert "cores and" in found["hardware"]["found"]
    assert found["hardware floor"]["verdict"] == "ok"
    assert found["hardware floor"]["found"] == "the card of demo states no memory"


def test_another_server_s_hardware_is_its_own(
    appliance: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said of a machine that writes no answers."""
    monkeypatch.setenv("APPLIANCE_ENGINE__KIND", "openai")
    monkeypatch.setenv("APPLIANCE_ENGINE__URL", "http://gpu-server:8000/v1")
    found = {item["check"]: item for item in appliance("doctor", "--json").value}
    assert "http://gpu-server:8000/v1" in found["hardware"]["found"]


def test_other_commands_do_not_wait_for_llama_cpp() -> None:
    """It takes a second to load, and only the doctor and the engine need it."""
    code = "import sys, appliance.cli.main; sys.exit('llama_cpp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
