"""Fills a small disk of its own under a ledger, empties it again, and prints what was seen."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from appliance.audit.log import Log
from appliance.audit.verify import verify_file
from appliance.errors import ApplianceError, DiskFullError
from tests.unit.audit import samples


def append_until_refused(log: Log, limit: int) -> tuple[int, str]:
    """Return how many events were acknowledged, and the code of the refusal."""
    for number in range(limit):
        try:
            log.append(samples.event(number))
        except ApplianceError as error:
            return number, error.code
    return limit, "none"


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.1)
    return False


def accepted(log: Log) -> bool:
    try:
        log.append(samples.event(action="answer.stop"))
    except DiskFullError:
        return False
    return True


def main(disk: Path) -> None:
    path = samples.make(disk)
    log = samples.opened(path)
    reserve = disk / "audit.reserve"
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            # Room for a few entries, so that the disk fills up in the middle of work.
            file.truncate(ballast.stat().st_size - 400_000)
    acknowledged, code = append_until_refused(log, 100_000)
    again = [append_until_refused(log, 1) for _ in range(3)]
    time.sleep(1.1)
    still = append_until_refused(log, 1)
    seen = {
        "acknowledged": acknowledged,
        "code": code,
        "again": again,
        "still": still,
        "whole_while_full": verify_file(path).entries,
        "found_while_full": len(log.search(samples.ANY).entries) > 0,
        "reserve_while_full": reserve.stat().st_size,
    }
    log.close()
    log = samples.opened(path)
    seen["refused_after_restart"] = append_until_refused(log, 1)
    ballast.unlink()
    # Nothing is appended here: the ledger has to notice by itself.
    seen["reserve_is_back"] = wait_for(lambda: reserve.stat().st_size == samples.RESERVE_BYTES)
    seen["resumed"] = wait_for(lambda: accepted(log))
    log.close()
    seen["entries"] = verify_file(path).entries
    actions = [json.loads(data)["action"] for _, data, _ in samples.rows(path)]
    seen["disk_full_entries"] = actions.count("disk.full")
    seen["last_two"] = actions[-2:]
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
