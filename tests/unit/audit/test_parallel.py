"""Several processes that walk one record: the same result and the same finding as one alone."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.audit import parallel, prefix
from appliance.audit.entry import GENESIS
from appliance.audit.verify import verify_file
from appliance.errors import TamperedError, UnavailableError
from tests.unit.audit import samples

COUNT = 3_333


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of thousands of entries with checkpoints in all places, over two days."""
    clock = samples.SetClock()
    path = samples.make(tmp_path_factory.mktemp("shared"), 100, clock)
    log = samples.opened(path, clock=clock)
    for size in (700, 701, 1_024, 1_280, 2_000):
        log.append_many([samples.event(n) for n in range(log.head().size, size)])
        log.checkpoint()
    clock.go(86_400)
    samples.fill(log, COUNT - 2_001)
    log.close()
    return path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may attack."""
    return Path(shutil.copy(whole, tmp_path / "audit.db"))


@pytest.mark.parametrize("processes", [2, 3, 8])
def test_same_result(whole: Path, processes: int) -> None:
    """However many walk it, the record is described the same."""
    assert verify_file(whole, processes=processes) == verify_file(whole, processes=1)


def test_same_walk(whole: Path) -> None:
    """Tiles, marks, and entries to look at come back from the processes as from one."""
    connection = sqlite3.connect(whole)
    marks = [1, 255, 256, 257, 700, 1_024, 1_280, 3_000, COUNT]
    alone = prefix.walk(connection, 0, COUNT, GENESIS, marks)
    shared = parallel.walker(whole, connection, 3)(0, COUNT, GENESIS, marks)
    assert shared == alone
    assert [seq for seq, _ in alone.stated] == [2_000]
    connection.close()


@pytest.mark.parametrize("count", [0, 1, 256, 257])
def test_short_record(tmp_path: Path, count: int) -> None:
    """A record too short to share is walked all the same."""
    path = samples.make(tmp_path, count)
    assert verify_file(path, processes=3).entries == count


def _tile(index: int, byte: int) -> str:
    """Return a statement that makes one byte of a tile another."""
    return (
        f"UPDATE tiles SET hashes = CAST(substr(hashes, 1, {byte}) || x'00' || "  # noqa: S608 - numbers
        f"substr(hashes, {byte + 2}) AS BLOB) WHERE level = 0 AND idx = {index}"
    )


@pytest.mark.parametrize(
    "statements",
    [
        ["DELETE FROM entries WHERE seq = 0"],
        ["DELETE FROM entries WHERE seq = 1279"],
        ["DELETE FROM entries WHERE seq = 1280"],
        ["DELETE FROM entries WHERE seq >= 3000"],
        ["UPDATE entries SET entry = x'00' WHERE seq = 3332"],
        ["UPDATE entries SET entry = x'00' WHERE seq = 1279"],
        ["UPDATE entries SET entry = x'00' WHERE seq = 1280"],
        ["UPDATE entries SET entry = x'00' WHERE seq = 1281"],
        ["UPDATE entries SET entry = x'00' WHERE seq IN (5, 1300, 3000)"],
        ["UPDATE entries SET entry = x'00' WHERE seq IN (2000, 3332)"],
        ["DELETE FROM tiles WHERE idx = 4"],
        ["DELETE FROM tiles WHERE idx = 5"],
        ["UPDATE tiles SET hashes = x'00' WHERE idx = 4"],
        [_tile(4, 8_191)],
        [_tile(4, 0)],
        [_tile(5, 0), "UPDATE entries SET entry = x'00' WHERE seq = 3000"],
        ["UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 701)"],
    ],
)
def test_same_finding(copy: Path, statements: list[str]) -> None:
    """The first bad entry is named, whichever process came upon which one first."""
    samples.attack(copy, *((statement, ()) for statement in statements))
    findings = []
    for processes in (1, 3):
        with pytest.raises(TamperedError) as caught:
            verify_file(copy, processes=processes)
        findings.append((caught.value.seq, caught.value.what))
    assert findings[0] == findings[1]


def test_same_finding_on_a_damaged_page(copy: Path) -> None:
    """When SQLite cannot read a page, the first entry in it is named by both."""
    data = bytearray(copy.read_bytes())
    entry = samples.rows(copy)[2_800][1]
    page = data.index(entry) // 4096 * 4096
    data[page : page + 8] = b"\xff" * 8
    copy.write_bytes(data)
    findings = []
    for processes in (1, 3):
        with pytest.raises(TamperedError) as caught:
            verify_file(copy, processes=processes)
        findings.append(caught.value.seq)
    assert findings[0] == findings[1]
    assert findings[0] is not None


def test_entries_let_go_meanwhile_are_no_finding(whole: Path, tmp_path: Path) -> None:
    """Each process sees the file of its own moment; only the first one's snapshot counts."""
    shutil.copytree(whole.parent, tmp_path / "state")
    path = tmp_path / "state" / "audit.db"
    log = samples.opened(path, clock=samples.SetClock(samples.MORNING + 86_400))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    alone = prefix.walk(connection, 0, COUNT, GENESIS, [700])
    log.prune(2_560, samples.event().agent, None, "test")
    assert parallel.walker(path, connection, 3)(0, COUNT, GENESIS, [700]) == alone
    connection.close()
    log.close()
    assert verify_file(path, processes=3).pruned == 2_560


def test_process_that_dies_is_said_to_have_died(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that is killed is no finding about the record, and no result either."""

    def killed(*arguments: object, **named: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
        return real(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", killed)
    with pytest.raises(UnavailableError, match="ended early"):
        verify_file(whole, processes=3)


def test_processes_do_not_outlive_a_finding(copy: Path) -> None:
    """When the first share is bad, those who walk the others are ended."""
    samples.attack(copy, ("UPDATE entries SET entry = x'00' WHERE seq = 3", ()))
    with pytest.raises(TamperedError):
        verify_file(copy, processes=5)
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    children = [int(pid) for task in tasks for pid in task.read_text().split()]
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children]
    assert not any(str(copy).encode() in command for command in commands)


def test_folder_of_the_caller_is_not_run(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stick with a folder `appliance` on it cannot put its own code into a verification."""
    (tmp_path / "appliance").mkdir()
    (tmp_path / "appliance" / "__init__.py").write_text("open('was_run', 'w').close()")
    monkeypatch.chdir(tmp_path)
    assert verify_file(whole.absolute(), processes=3).entries == COUNT
    assert not (tmp_path / "was_run").exists()
