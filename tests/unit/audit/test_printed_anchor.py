"""Checkpoints on standard output: when a line comes, what it holds, and who waits for it."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.audit import printed_anchor
from appliance.audit.anchors import take
from appliance.audit.log import Log
from appliance.audit.printed_anchor import Printer
from appliance.audit.verify import verify_file
from tests.unit.audit import samples

# POSIX: a write of at most so many bytes into a pipe is not mixed with another one.
PIPE_BUF = 4_096


@pytest.fixture
def clock() -> samples.SetClock:
    return samples.SetClock()


@pytest.fixture
def log(tmp_path: Path, clock: samples.SetClock) -> Iterator[Log]:
    opened = Log(samples.make(tmp_path, clock=clock), clock, samples.BOOT, samples.SETTINGS)
    samples.fill(opened, 3)
    yield opened
    opened.close()


def anchors(log: Log) -> list[dict[str, Any]]:
    found = [json.loads(data) for _, data, _ in samples.rows(log.path)]
    return [entry for entry in found if entry["action"] == "record.anchor"]


def size_of(line: bytes) -> int:
    [size] = re.findall(rb' size="(\d+)"', line)
    return int(size)


def test_a_line_comes_whenever_the_record_grew(log: Log, clock: samples.SetClock) -> None:
    """Over every entry there is, and none where nothing is new."""
    lines: list[bytes] = []
    printer = Printer(log, clock, lines.append)
    assert printer.print_due()
    samples.fill(log, 2)
    assert printer.print_due()
    assert [size_of(line) for line in lines] == [3 + 1, 3 + 2 + 2]  # with intent and outcome
    assert not printer.print_due()


def test_only_the_first_of_a_day_is_recorded(log: Log, clock: samples.SetClock) -> None:
    """Else each line would be a reason for the next one, for ever."""
    printer = Printer(log, clock, lambda _line: None)
    for _ in range(3):
        samples.fill(log, 1)
        printer.print_due()
    assert [entry["outcome"] for entry in anchors(log)] == ["intent", "success"]
    clock.go(86_400)
    samples.fill(log, 1)
    printer.print_due()
    assert [entry["outcome"] for entry in anchors(log)] == ["intent", "success"] * 2


def test_a_line_is_an_anchor(log: Log, clock: samples.SetClock) -> None:
    """What stands in it, decoded, is held against the record and counts."""
    lines: list[bytes] = []
    Printer(log, clock, lines.append).print_due()
    [encoded] = re.findall(rb' note="([^"]+)"', lines[0])
    anchor = take("line", base64.b64decode(encoded))
    log.close()
    assert verify_file(log.path, given=[anchor]).anchored == size_of(lines[0])


def test_a_line_is_one_line_and_written_at_once(log: Log, clock: samples.SetClock) -> None:
    """So that nothing else that the ledger prints can get into the middle of it."""
    lines: list[bytes] = []
    Printer(log, clock, lines.append).print_due()
    assert (lines[0].count(b"\n"), lines[0][-1:]) == (1, b"\n")
    assert len(lines[0]) < PIPE_BUF


def test_what_was_printed_is_told(log: Log, clock: samples.SetClock) -> None:
    """By size and time, and that it prints at all, before the first line already."""
    printer = Printer(log, clock, lambda _line: None)
    assert (log.anchoring().prints, log.anchoring().printed) == (True, 0)
    printer.print_due()
    state = log.anchoring()
    assert (state.printed, state.printed_at) == (4, "2026-01-31T09:33:20.000Z")


def test_a_closed_output_is_recorded_and_tried_again(log: Log, clock: samples.SetClock) -> None:
    """Nothing is told as printed that was not."""
    attempts: list[bytes] = []

    def closed(line: bytes) -> None:
        attempts.append(line)
        if len(attempts) == 1:
            raise BrokenPipeError(32, "Broken pipe")

    printer = Printer(log, clock, closed)
    with pytest.raises(BrokenPipeError):
        printer.print_due()
    assert log.anchoring().printed == 0
    assert anchors(log)[-1]["content"] == {"kind": "console", "code": "output_closed"}
    assert printer.print_due()
    assert anchors(log)[-1]["outcome"] == "success"


def test_an_output_that_nobody_reads_holds_nobody_up(
    log: Log, clock: samples.SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full pipe: entries are taken as before, and the stop does not wait for it."""
    monkeypatch.setattr(printed_anchor, "STOP_WITHIN_S", 0.1)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(PIPE_BUF))
    except BlockingIOError:
        os.set_blocking(writer, True)
    printer = Printer(log, clock, lambda line: os.write(writer, line), every_s=0.01)
    printer.start()
    assert log.append(samples.event()).seq >= 3
    printer.stop()
    assert log.anchoring().printed == 0
    # Its thread is let go, which is another matter than the stop.
    while not log.anchoring().printed:
        os.read(reader, PIPE_BUF)
    printer.stop()
    for end in (reader, writer):
        os.close(end)


def test_an_empty_record_prints_nothing(tmp_path: Path, clock: samples.SetClock) -> None:
    """There is nothing to sign yet, and that is no failure."""
    (tmp_path / "new").mkdir()
    empty = Log(samples.make(tmp_path / "new"), clock, samples.BOOT, samples.SETTINGS)
    try:
        assert not Printer(empty, clock, lambda _line: None).print_due()
    finally:
        empty.close()
