"""How much memory may still be taken: the machine's, within its cgroups' limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.llama.placing import cgroups
from appliance.llama.placing import ram as module
from appliance.llama.placing.ram import Ram, parse_group, parse_meminfo, ram

MEMINFO = """\
MemTotal:       16000000 kB
MemFree:          500000 kB
MemAvailable:   12000000 kB
HugePages_Total:       0
"""
STAT = "anon 100\nfile 900\ninactive_file 300\nactive_file 200\nnot a number\n"
STAT_1 = "active_file 1\ninactive_file 1\ntotal_active_file 200\ntotal_inactive_file 300\n"
UNLIMITED_1 = "9223372036854771712\n"


def test_the_page_cache_counts_as_free() -> None:
    """The kernel says itself what it would give back."""
    assert parse_meminfo(MEMINFO) == Ram(16_000_000 * 1024, 12_000_000 * 1024)


def test_an_old_kernel_says_less() -> None:
    """Then only what is truly free counts."""
    assert parse_meminfo("MemTotal: 10 kB\nMemFree: 4 kB\n") == Ram(10_240, 4_096)


@pytest.mark.parametrize("text", ["", "nonsense", "MemTotal: many kB\n"])
def test_nonsense_is_no_memory(text: str) -> None:
    """Better none than a guess."""
    assert parse_meminfo(text) == Ram(0, 0)


@pytest.mark.parametrize("stat", [STAT, STAT_1])
def test_a_limit_leaves_what_is_not_taken(stat: str) -> None:
    """What is only kept in case it is read again is not taken; either version names it."""
    assert parse_group("2000\n", "1200\n", stat) == Ram(2_000, 1_300)


@pytest.mark.parametrize("limit", ["max\n", UNLIMITED_1, "", "-1"])
def test_a_group_without_a_limit_says_nothing(limit: str) -> None:
    """Then the machine's own memory counts."""
    assert parse_group(limit, "5", STAT) is None


def arrange(folder: Path, monkeypatch: pytest.MonkeyPatch, own: str, **files: str) -> None:
    """Make files as the kernel shows them; `__` in a name stands for a folder."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "own").write_text(own)
    (folder / "meminfo").write_text(MEMINFO)
    monkeypatch.setattr(cgroups, "CGROUP_FOLDER", folder / "cgroup")
    monkeypatch.setattr(cgroups, "OWN_CGROUP", folder / "own")
    monkeypatch.setattr(module, "MEMORY_INFO", folder / "meminfo")


def test_the_tightest_group_above_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service without a limit of its own lies in a slice that has one (cgroup v2)."""
    arrange(
        tmp_path, monkeypatch, "0::/outer/inner\n",
        cgroup__outer__inner__memory_DOT_max="max\n",
        cgroup__outer__memory_DOT_max="8000000\n",
        cgroup__outer__memory_DOT_current="3000000\n",
    )  # fmt: skip
    assert ram() == Ram(8_000_000, 5_000_000)


def test_version_1_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older systems and some container hosts still have it."""
    arrange(
        tmp_path, monkeypatch, "4:cpu,memory:/box\n0::/\n",
        cgroup__memory__box__memory_DOT_limit_in_bytes="6000\n",
        cgroup__memory__box__memory_DOT_usage_in_bytes="1500\n",
        cgroup__memory__box__memory_DOT_stat=STAT_1,
        cgroup__memory__memory_DOT_limit_in_bytes=UNLIMITED_1,
    )  # fmt: skip
    assert ram() == Ram(6_000, 5_000)


def test_a_group_that_is_over_its_limit_has_nothing_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A negative number would look like a lot to whoever divides by it."""
    arrange(
        tmp_path, monkeypatch, "0::/\n",
        cgroup__memory_DOT_max="100\n", cgroup__memory_DOT_current="150\n",
    )  # fmt: skip
    assert ram() == Ram(100, 0)


def test_this_machine_has_some() -> None:
    """The real files of the kernel give a sensible answer."""
    found = ram()
    assert 0 < found.available <= found.total
