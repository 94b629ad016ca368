"""Reads files and says which of some byte strings are in them; a program of its own.

Run by `scrubbing.py` in a fresh interpreter, because closing a file that SQLite has open in the
same process would drop SQLite's locks on it (POSIX fcntl locks; sqlite.org/howtocorrupt.html,
section 2.2). Standard library alone. Input: the strings in hex, one to a line. Output: the
numbers of the lines that were found.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

# Up to so many, one look for each is faster than one look at every place.
FEW = 256
PIECE = 12


def found_in(data: bytes, needles: Sequence[bytes]) -> set[int]:
    """Return the places in `needles` of those that `data` contains; each has 12 bytes or more."""
    if len(needles) <= FEW:
        return {number for number, needle in enumerate(needles) if needle in data}
    starts: dict[bytes, list[int]] = {}
    for number, needle in enumerate(needles):
        starts.setdefault(needle[:PIECE], []).append(number)
    found: set[int] = set()
    for place in range(len(data) - PIECE + 1):
        for number in starts.get(data[place : place + PIECE], ()):
            if data.startswith(needles[number], place):
                found.add(number)
    return found


def main(paths: Iterable[str]) -> None:
    """Search the files of these names that exist."""
    needles = [bytes.fromhex(line) for line in sys.stdin.read().split()]
    found: set[int] = set()
    for path in map(Path, paths):
        if path.exists():
            found |= found_in(path.read_bytes(), needles)
    sys.stdout.write(" ".join(map(str, sorted(found))))


if __name__ == "__main__":
    main(sys.argv[1:])
