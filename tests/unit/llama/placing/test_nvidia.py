"""What the driver's tool prints, and every way in which it can fail to."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from appliance.llama.placing import nvidia
from appliance.llama.placing.nvidia import SeenGpu, driver, parse

MIB = 1_048_576
ONE = "0, NVIDIA L40S, 46068, 45589, 8.9\n"
FOUR = """\
0, NVIDIA H100 80GB HBM3, 81559, 81020, 9.0
1, NVIDIA H100 80GB HBM3, 81559, 4321, 9.0
2, NVIDIA H100 80GB HBM3, 81559, 81020, 9.0
3, NVIDIA H100 80GB HBM3, 81559, 81020, 9.0
"""
MIG = "0, NVIDIA A100-SXM4-80GB, [N/A], [N/A], 8.0\n"
DENIED = "0, NVIDIA A30, 24576, [Insufficient Permissions], 8.0\n"
NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure "
    "that the latest NVIDIA driver is installed and running.\n"
)


def put_tool(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a tool of that name into PATH: a real program that prints what a driver would."""
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_one_gpu_is_read() -> None:
    """Sizes come in MiB and are kept in bytes."""
    gpu = SeenGpu(0, "NVIDIA L40S", 46_068 * MIB, 45_589 * MIB, "8.9")
    assert parse(ONE) == (gpu,)


def test_four_gpus_are_read_in_their_order() -> None:
    """The second one is nearly full, and that can be seen."""
    found = parse(FOUR)
    assert [gpu.index for gpu in found] == [0, 1, 2, 3]
    assert found[1].free_bytes == 4_321 * MIB


@pytest.mark.parametrize(("text", "total"), [(MIG, None), (DENIED, 24_576 * MIB)])
def test_a_size_that_is_not_said_is_not_guessed(text: str, total: int | None) -> None:
    """A card cut into parts (MIG), or one that a container may not ask, states no size."""
    (gpu,) = parse(text)
    assert (gpu.total_bytes, gpu.free_bytes) == (total, None)


def test_a_name_may_hold_a_comma() -> None:
    """The other fields cannot, so they are counted from the end."""
    (gpu,) = parse("7, Some GPU, 2nd edition, 1024, 1000, 7.5\n")
    assert (gpu.index, gpu.name, gpu.compute) == (7, "Some GPU, 2nd edition", "7.5")


@pytest.mark.parametrize(
    "text", ["", "\n\n", "No devices were found\n", NO_DRIVER, "a,b,c,d,e", "0"]
)
def test_what_is_no_gpu_is_passed_over(text: str) -> None:
    """Messages of the tool are not taken for devices."""
    assert parse(text) == ()


def test_the_tool_is_really_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the query whose answer `parse` understands."""
    put_tool(tmp_path, monkeypatch, f'echo "$*" > {tmp_path}/asked; printf "%s" "{ONE}"')
    found = driver()
    assert (len(found.gpus), found.reason) == (1, "")
    assert (tmp_path / "asked").read_text().strip() == f"{nvidia.QUERY} {nvidia.FORMAT}"


def test_no_tool_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without the driver nothing is wrong by itself."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found = driver()
    assert (found.gpus, found.reason) == ((), "nvidia-smi is not installed")


def test_a_failing_tool_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first line says what the matter is, and it is cut to a length that fits a table."""
    put_tool(tmp_path, monkeypatch, f'printf "%s" "{NO_DRIVER}"; exit 9')
    found = driver()
    assert found.gpus == ()
    assert found.reason.startswith("nvidia-smi failed: NVIDIA-SMI has failed because")
    assert len(found.reason) < 160


def test_a_silent_failure_and_an_empty_list_have_words_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to read an exit code."""
    put_tool(tmp_path, monkeypatch, "exit 6")
    assert driver().reason == "nvidia-smi failed: it said nothing"
    put_tool(tmp_path, monkeypatch, "echo No devices were found")
    assert driver().reason == "nvidia-smi lists no GPU"


def test_a_tool_that_cannot_start_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one made for another processor."""
    put_tool(tmp_path, monkeypatch, "")
    (tmp_path / "nvidia-smi").write_bytes(b"\x7fELF no program at all")
    assert driver().reason.startswith("nvidia-smi cannot be started: ")


def test_a_tool_that_hangs_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken driver blocks its tool, and must not block the start of the engine too."""
    put_tool(tmp_path, monkeypatch, "exec sleep 30")
    monkeypatch.setattr(nvidia, "WAIT_S", 0.2)
    began = time.monotonic()
    assert "did not answer" in driver().reason
    assert time.monotonic() - began < 5


def test_cards_on_the_bus_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An NVIDIA card's sound device is no GPU, and neither is another maker's screen."""
    found = {
        "gpu": ("0x10de", "0x030200"),
        "sound": ("0x10de", "0x040300"),
        "b": ("0x8086", "0x030000"),
    }
    for name, (vendor, kind) in found.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    (tmp_path / "gone").mkdir()
    monkeypatch.setattr(nvidia, "PCI_FOLDER", tmp_path)
    assert driver().cards == 1
    monkeypatch.setattr(nvidia, "PCI_FOLDER", tmp_path / "none")
    assert driver().cards == 0
