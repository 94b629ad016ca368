"""What a ledger does on a small disk without room for one thing or another, as facts in JSON.

Run as `python -m tests.faults.disk_process SCENE FOLDER`, where FOLDER is a small disk.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from appliance.audit.log import Log
from appliance.audit.verify import verify_file
from appliance.config import Ledger as Settings
from appliance.errors import ApplianceError
from tests.faults.lean_ledger import DAY_S, keys_of, table
from tests.simulators.manual_clock import ManualClock
from tests.unit.audit import samples

SETTINGS = Settings(reserve_bytes=524_288)
WITHIN_S = 20.0
PAGE = 4_096


class SmallDisk:
    """A record on a disk of its own, what fills the rest of that disk, and a clock to set."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.record = folder, folder / "audit.db"
        self.clock = ManualClock()
        Log.create(self.record, "ward/audit/0123456789abcdef", SETTINGS.reserve_bytes)
        self.log = self.open()
        for number in range(10):
            self.log.append(samples.event(number))
        self.log.checkpoint()

    def open(self) -> Log:
        return Log(self.record, self.clock, samples.BOOT, SETTINGS)

    def fill(self, leave: int = 0) -> None:
        """Take all room but `leave` bytes."""
        with (self.folder / "ballast").open("ab", buffering=0) as file:
            try:
                while file.write(bytes(PAGE)) == PAGE:
                    pass
            except OSError:
                file.truncate(file.tell() - file.tell() % PAGE - leave)

    def take_names(self) -> None:
        """Take every inode, so that nothing new can be made though there is room."""
        for number in range(100_000):
            try:
                (self.folder / f"name{number}").touch()
            except OSError:
                return

    def free(self) -> None:
        """Give everything back."""
        for path in [*self.folder.glob("name*"), *self.folder.glob("ballast")]:
            path.unlink()

    def append(self) -> str:
        """Return what an append came to: '' if it was recorded, else why not."""
        try:
            self.log.append(samples.event(action="answer.stop"))
        except ApplianceError as error:
            return f"{error.code}: {error.message} ({error.hint})"
        return ""

    def append_until_refused(self) -> str:
        return next(said for said in iter(self.append, None) if said)

    def resumes(self) -> bool:
        """Tell whether appends go on by themselves; the clock goes on, nothing else is done."""
        return wait_for(lambda: self.append() == "", self.clock)

    def facts(self) -> dict[str, Any]:
        """Close the record; return what it says in the end."""
        self.log.close()
        actions = [json.loads(data)["action"] for (data,) in table(self.record, ENTRIES)]
        found = verify_file(self.record)
        return {
            "entries": found.entries,
            "unsigned": found.entries - found.signed,
            "disk_full": actions.count("disk.full"),
            "last": actions[-3:],
            "epochs": table(self.record, "SELECT count(*) FROM epochs")[0][0],
            "keys": keys_of(self.record),
            "anchors": os.listdir(self.record.with_suffix(".anchors")),
        }


ENTRIES = "SELECT entry FROM entries ORDER BY seq"


def wait_for(condition: Callable[[], bool], clock: ManualClock) -> bool:
    until = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > until:
            return False
        clock.advance(1.1)
        time.sleep(0.02)
    return True


def no_room(disk: SmallDisk) -> Iterator[tuple[str, Any]]:
    """The disk fills up in the middle of work, and is emptied again."""
    disk.fill(leave=200_000)
    yield "refused", disk.append_until_refused()
    disk.clock.advance(2)
    yield "again", disk.append()
    yield "whole", verify_file(disk.record).entries
    disk.free()
    yield "resumed", disk.resumes()


def no_room_for_the_key(disk: SmallDisk) -> Iterator[tuple[str, Any]]:
    """Midnight on a disk that has not one page left."""
    disk.fill()
    disk.clock.advance(DAY_S)
    yield "refused", disk.append()
    yield "keys_meanwhile", keys_of(disk.record)
    disk.free()
    yield "resumed", disk.resumes()


def no_name_for_the_key(disk: SmallDisk) -> Iterator[tuple[str, Any]]:
    """Midnight on a disk with room, where no file can be made, for a minute."""
    disk.take_names()
    disk.clock.advance(DAY_S)
    yield "refused", disk.append()
    for _ in range(60):
        disk.clock.advance(1.1)
        assert disk.append()
    yield "keys_meanwhile", keys_of(disk.record)
    disk.free()
    yield "resumed", disk.resumes()


def no_name_for_the_copy(disk: SmallDisk) -> Iterator[tuple[str, Any]]:
    """A checkpoint is stored, its copy beside the record cannot be made."""
    copy = disk.record.with_suffix(".anchors") / "newest.checkpoint"
    before = copy.read_text()
    disk.take_names()
    yield "refused", disk.append()
    note = disk.log.checkpoint()
    yield "older_copy_stays", copy.read_text() == before != note
    yield "whole", verify_file(disk.record).entries
    disk.free()
    disk.append()
    yield "copied_again", disk.log.checkpoint() == copy.read_text()


def no_room_at_start(disk: SmallDisk) -> Iterator[tuple[str, Any]]:
    """Started with not one page left: the side log and its index cannot be made."""
    disk.log.close()
    disk.fill()
    yield "side_log_is_gone", not disk.record.with_name("audit.db-wal").exists()
    yield "started", wait_for(lambda: starts(disk), disk.clock)
    yield "refused", disk.append()
    yield "found", len(disk.log.search(samples.ANY).entries)
    disk.free()
    yield "resumed", disk.resumes()
    yield "found_later", len(disk.log.search(samples.ANY).entries)
    yield "verified", disk.log.verify().entries


def starts(disk: SmallDisk) -> bool:
    """Start as the supervisor does: again when it did not work."""
    try:
        disk.log = disk.open()
    except ApplianceError:
        return False
    return True


def no_room_for_the_index(disk: SmallDisk) -> Iterator[tuple[str, Any]]:
    """The search index is gone and cannot be made anew; searches read the record."""
    disk.log.close()
    for path in disk.folder.glob("audit.index.db*"):
        path.unlink()
    disk.fill(leave=200_000)
    disk.log = disk.open()
    yield "found", len(disk.log.search(samples.ANY).entries)
    yield "refused", disk.append_until_refused()
    disk.free()
    yield "resumed", disk.resumes()
    yield "found_later", len(disk.log.search(samples.ANY).entries)


def hardly_any_room(disk: SmallDisk) -> Iterator[tuple[str, Any]]:
    """Midnight with a little more room each time, so that it ends at another step each time."""
    refusals, entries = set(), []
    for pages in range(40):
        disk.fill(leave=pages * PAGE)
        disk.clock.advance(DAY_S)
        for said in iter(disk.append, None):
            if said:
                refusals.add(said.partition(":")[0])
                break
        entries.append(verify_file(disk.record).entries)
        disk.free()
        assert disk.resumes()
    yield "refusals", sorted(refusals)
    yield "grew", entries == sorted(entries)
    yield "days", pages + 1


SCENES = (
    hardly_any_room,
    no_room,
    no_room_for_the_key,
    no_name_for_the_key,
    no_name_for_the_copy,
    no_room_at_start,
    no_room_for_the_index,
)

if __name__ == "__main__":
    SCENE = next(scene for scene in SCENES if scene.__name__ == sys.argv[1])
    DISK = SmallDisk(Path(sys.argv[2]))
    SEEN = dict(SCENE(DISK))
    print(json.dumps({**SEEN, **DISK.facts()}))
