"""How many threads a model gets by default."""

from __future__ import annotations

import pytest

from appliance.llama.cores import default_threads, parse_cpu_max, threads_for


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
