"""How many threads a model gets by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.llama.placing import cgroups, cores
from appliance.llama.placing.cores import default_threads, parse_cpu_max, threads_for


def test_hardware_threads_of_one_core_count_once() -> None:
    """Four CPUs on two cores give two threads."""
    assert threads_for({0: "0/0", 1: "0/1", 2: "0/0", 3: "0/1"}, None) == 2


def test_a_quota_lowers_the_number() -> None:
    """A container with 1.5 CPUs gets one thread, so that it is not throttled."""
    assert threads_for({0: "a", 1: "b", 2: "c"}, 1.5) == 1


def test_there_is_always_one_thread() -> None:
    """A quota below one CPU still gives one thread."""
    assert threads_for({0: "a"}, 0.2) == 1


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("150000 100000\n", 1.5), ("max 100000\n", None), ("", None), ("-1 100000", None)],
)
def test_cpu_max_is_understood(text: str, cpus: float | None) -> None:
    """Quota and period give CPUs; no limit and nonsense give none."""
    assert parse_cpu_max(text) == cpus


def test_this_machine_has_a_number() -> None:
    """The real files of the kernel give at least one thread."""
    assert default_threads() >= 1


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}),
        (
            "3:cpu,cpuacct:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "150000", "cpu/a/cpu.cfs_period_us": "100000",
             "cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
        ),
    ],
    ids=["version 2", "version 1"],
)  # fmt: skip
def test_a_quota_of_a_group_above_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str]
) -> None:
    """A service without a quota lies in a slice that has one: 1.5 CPUs, so one thread."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(cgroups, "CGROUP_FOLDER", tmp_path)
    monkeypatch.setattr(cgroups, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(cores, "CPU_FOLDER", tmp_path / "none")
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    assert default_threads() == 1
