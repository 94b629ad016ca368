"""The power goes at any fsync of a build or a signature: the next command goes on from there.

A child process does the work and kills itself, for real, just before its n-th fsync.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.bundles.desk.desk import Desk
from appliance.bundles.publisher import ModelSource
from tests.simulators.publisher_desk import TWO_MEDIA, PublisherDesk

MOST = 200


def killed_at(count: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that dies before its `count`-th fsync; tell whether it died."""
    child = os.fork()
    if child == 0:
        left, real = count, os.fsync

        def fsync(descriptor: int) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            real(descriptor)

        os.fsync = fsync
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.fixture
def saved(small: PublisherDesk, source: ModelSource, tmp_path: Path) -> Path:
    """A copy of the small site with a draft on two sticks."""
    size = source.gguf.stat().st_size // 2 + 1
    small.build("a", "b", sources=[source], part_bytes=size, media_bytes=TWO_MEDIA)
    return Path(shutil.copytree(small.home, tmp_path / "saved"))


def restore(site: PublisherDesk, saved: Path) -> None:
    shutil.rmtree(site.home)
    shutil.copytree(saved, site.home)
    site.desk = Desk(site.home / "desk")


def test_a_signature_cut_short_anywhere_is_given_again(small: PublisherDesk, saved: Path) -> None:
    """At every fsync: the bundle is either complete, or the same command completes it."""
    for count in range(1, MOST):
        restore(small, saved)
        if not killed_at(count, lambda: small.sign("a", "b")):
            break
        if (small.home / "b" / "draft.json").exists():
            assert small.sign("a", "b").manifest is not None
        small.record("a")
        assert small.desk.state.recorded == 1
        assert len(list(small.home.glob("?/targets/*/*.oms.sig"))) == 1
    assert 10 < count < MOST - 1


def test_a_build_cut_short_anywhere_can_be_made_again(
    small: PublisherDesk, source: ModelSource, saved: Path
) -> None:
    """Whatever the desk remembers of it, no number is given twice and no list is forgotten."""
    for count in range(1, MOST, 9):
        restore(small, saved)
        shutil.rmtree(small.home / "a")
        if not killed_at(count, lambda: small.build("a", sources=[source], abandoned=1)):
            break
        small.desk = Desk(small.home / "desk")
        under_way = small.desk.state.building
        built = small.build("c", sources=[source], abandoned=under_way and under_way.version)
        assert built.version in (2, 3)
        assert small.sign("c").manifest is not None
    assert 10 < count < MOST - 9
