"""Durable writes: the old file or the whole new one, with exactly the wanted mode."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from appliance import durable
from appliance.errors import ConflictError, DiskFullError

OLD = b"the old content"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file that is there already."""
    path = tmp_path / "setting"
    durable.write(path, OLD)
    return path


def test_a_write_replaces_the_whole_file(target: Path) -> None:
    """Nothing of the old content stays, and no draft is left beside it."""
    durable.write(target, b"new")
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["setting"]


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o644])
@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_mode_is_exactly_the_wanted_one(target: Path, mode: int, umask: int) -> None:
    """Whatever umask the service was started with."""
    before = os.umask(umask)
    try:
        durable.write(target, b"new", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == mode


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_the_old_file(
    target: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """The error is named, the old content whole, and the draft removed to free its room."""

    def full(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(DiskFullError):
        durable.write(target, b"new")
    monkeypatch.undo()
    assert target.read_bytes() == OLD
    assert [path.name for path in target.parent.iterdir()] == ["setting"]


def test_a_failing_disk_is_not_called_full(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other errors keep their own name."""

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="input/output"):
        durable.write(target, b"new")
    assert target.read_bytes() == OLD


def test_short_writes_are_continued(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may take fewer bytes than it is given."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:3])))
    durable.write(target, b"0123456789")
    assert target.read_bytes() == b"0123456789"


KILLED = """
import os, signal, sys
from pathlib import Path
from appliance import durable
real = os.{call}
def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
os.{call} = die
durable.write(Path(sys.argv[1]), b"n" * 100_000)
"""


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod"])
def test_kill_leaves_the_old_file(target: Path, call: str) -> None:
    """A process that dies in the middle of a write has changed nothing."""
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(call=call), str(target)], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert target.read_bytes() == OLD


def test_the_file_is_on_disk_before_it_gets_its_name(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is: fsync of the file, rename, fsync of the folder."""
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def traced_sync(descriptor: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def traced_replace(source: Path, destination: Path) -> Path:
        order.append("rename")
        return replace(source, destination)

    monkeypatch.setattr(os, "fsync", traced_sync)
    monkeypatch.setattr(Path, "replace", traced_replace)
    durable.write(target, b"new")
    assert order == ["file", "rename", "folder"]


def test_creating_never_replaces(target: Path) -> None:
    """What is there stays, and the error says so."""
    with pytest.raises(ConflictError, match="exists already"):
        durable.create(target, b"new")
    assert target.read_bytes() == OLD
    assert [path.name for path in target.parent.iterdir()] == ["setting"]


def test_creating_makes_the_file_with_its_mode(tmp_path: Path) -> None:
    """A key file is unreadable for others from its first moment."""
    durable.create(tmp_path / "key", b"secret", mode=0o400)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o400
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_of_many_that_create_one_succeeds(tmp_path: Path) -> None:
    """A key that is in use already is never replaced by another one."""
    made: list[bytes] = []

    def create(content: bytes) -> None:
        try:
            durable.create(tmp_path / "key", content)
        except ConflictError:
            return
        made.append(content)

    threads = [threading.Thread(target=create, args=(b"%d" % number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [(tmp_path / "key").read_bytes()]


def test_a_lock_keeps_a_second_one_out(tmp_path: Path) -> None:
    """The second is told at once what is in use."""
    lock = tmp_path / "lock"
    with (
        durable.exclusive(lock, "the record"),
        pytest.raises(ConflictError, match="the record is in use"),
        durable.exclusive(lock, "the record"),
    ):
        pass
    with durable.exclusive(lock, "the record"):
        pass


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    """After `kill -9` the next start needs no cleaning up."""
    code = (
        "import sys, time; from pathlib import Path; from appliance import durable\n"
        "with durable.exclusive(Path(sys.argv[1]), 'x'): print('held', flush=True); time.sleep(60)"
    )
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConflictError), durable.exclusive(lock, "x"):
            pass
        holder.kill()
        holder.wait()
        with durable.exclusive(lock, "x"):
            pass


@pytest.mark.parametrize("links", [True, False])
def test_a_portable_file_never_takes_the_place_of_another(
    target: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """On a disk and on a stick without links: what is there stays, and nothing lies beside it."""
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    with pytest.raises(ConflictError):
        durable.create_portable(target, [b"new"])
    assert target.read_bytes() == OLD
    assert durable.create_portable(target.with_name("b"), [b"ne", b"w"]) == 3
    assert sorted(path.name for path in target.parent.iterdir()) == ["b", "setting"]


def _no_links(*_paths: Path) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")
