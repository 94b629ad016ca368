"""Shares the walk over a long record among processes, one range of tiles each.

Threads would not help: hashing a few hundred bytes holds Python's lock. Each process opens the
file for itself; entries are never changed, so all see the same ones. What a process found comes
back as JSON on its standard output.

Run as `python -m appliance.audit.parallel RECORD START STOP` it is such a process.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from appliance.audit import prefix, store
from appliance.audit.entry import GENESIS
from appliance.audit.prefix import Walked
from appliance.audit.tree import WIDTH, Tree
from appliance.errors import ApplianceError, TamperedError, UnavailableError

# Starting a process and loading this package costs about as much as walking this many entries.
WORTHWHILE = 100_000

Walk = Callable[[int, int, bytes, Sequence[int]], Walked]


def walker(path: Path, connection: sqlite3.Connection, processes: int) -> Walk:
    """Return a function that walks entries start..stop-1 as `prefix.walk` does.

    With `processes` 0 it uses every core that this process may use, if the record is long.
    """

    def walk(start: int, stop: int, prev: bytes, marks: Sequence[int]) -> Walked:
        workers = processes or len(os.sched_getaffinity(0))
        short = WIDTH if processes else WORTHWHILE
        if workers == 1 or stop - start <= short:
            return prefix.walk(connection, start, stop, prev, marks)
        with contextlib.ExitStack() as stack:
            # This process takes the first share, the others begin before it does.
            shares = list(_shares(start, stop, workers))
            others = [
                (share, stack.enter_context(_other(path, *share, marks))) for share in shares[1:]
            ]
            first, last = shares[0]
            found = [prefix.walk(connection, first, last, prev, _within(marks, first, last))]
            for (first, last), process in others:
                walked = _result(process)
                if walked is None:
                    # Walked again here, in the snapshot of this connection, for the finding.
                    walked = walk_piece(connection, first, last, _within(marks, first, last))
                found.append(walked)
            return _joined(found)

    return walk


def walk_piece(
    connection: sqlite3.Connection, start: int, stop: int, marks: Sequence[int]
) -> Walked:
    """Walk one share; whoever has the share before checks the tile that names the entry before."""
    before = Tree(connection).leaf(start - 1) if start else GENESIS
    return prefix.walk(connection, start, stop, before, marks)


def _shares(start: int, stop: int, workers: int) -> Iterator[tuple[int, int]]:
    width = -(-(stop - start) // workers)
    width += -width % WIDTH
    for first in range(start, stop, width):
        yield first, min(first + width, stop)


def _within(marks: Sequence[int], first: int, last: int) -> list[int]:
    return [mark for mark in marks if first < mark <= last]


@contextlib.contextmanager
def _other(
    path: Path, first: int, last: int, marks: Sequence[int]
) -> Iterator[subprocess.Popen[bytes]]:
    within = " ".join(map(str, _within(marks, first, last))).encode()
    # -P: a folder `appliance` where the command was typed, such as on a stick, must not be run.
    command = [sys.executable, "-P", "-m", __name__, str(path), str(first), str(last)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        with contextlib.suppress(BrokenPipeError):
            if process.stdin is not None:
                process.stdin.write(within)
                process.stdin.close()
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _result(process: subprocess.Popen[bytes]) -> Walked | None:
    """Return what a process found; None if it found its share not whole."""
    data = process.stdout.read() if process.stdout is not None else b""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise UnavailableError(
            "a process that helped to verify ended early",
            hint="look for what killed it, such as a lack of memory, and verify again",
        ) from error
    if value is None:
        return None
    if "failed" in value:
        raise UnavailableError(value["failed"])
    return Walked(
        bytes.fromhex(value["leaf"]),
        [bytes.fromhex(root) for root in value["tiles"]],
        {int(mark): tuple(map(bytes.fromhex, roots)) for mark, roots in value["partial"].items()},
        [(seq, bytes.fromhex(entry)) for seq, entry in value["stated"]],
    )


def _stated(walked: Walked) -> dict[str, Any]:
    return {
        "leaf": walked.leaf.hex(),
        "tiles": [root.hex() for root in walked.tiles],
        "partial": {mark: [root.hex() for root in roots] for mark, roots in walked.partial.items()},
        "stated": [(seq, entry.hex()) for seq, entry in walked.stated],
    }


def _joined(pieces: Sequence[Walked]) -> Walked:
    whole = Walked(pieces[-1].leaf)
    for piece in pieces:
        whole.tiles += piece.tiles
        whole.partial |= piece.partial
        whole.stated += piece.stated
    return whole


def main() -> None:
    """Walk the share named by the arguments; the marks come on standard input."""
    path, start, stop = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    marks = [int(mark) for mark in sys.stdin.read().split()]
    try:
        with store.translated(), contextlib.closing(store.open_reader(path)) as connection:
            found: dict[str, Any] | None = _stated(walk_piece(connection, start, stop, marks))
    except TamperedError:
        found = None
    except ApplianceError as error:
        found = {"failed": error.message}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
