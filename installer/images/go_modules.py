"""Which modules a program in Go was built of, as its own bytes say, and the order of versions.

Sources: Go's debug/buildinfo (the format since Go 1.18) and Semantic Versioning 2.0.0, 11.
Pure: bytes in, values out. Not here: whether the linker left a module's code in.
"""

from __future__ import annotations

import re

from packaging.version import InvalidVersion

MAGIC, HEADER_BYTES, ALIGNED, INLINE = b"\xff Go buildinf:", 32, 16, 2
FLAGS_AT = 15
# Each side of the list is marked by as many bytes.
MARK_BYTES = 16
NUMBERS = re.compile(r"[0-9]+(\.[0-9]+)*")
Key = tuple[tuple[int, ...], int, tuple[tuple[int, int, str], ...]]


def modules(program: bytes) -> list[tuple[str, str]]:
    """Return path and version of the modules, Go's own library first; none for other programs."""
    at = program.find(MAGIC)
    while at >= 0:
        if at % ALIGNED == 0 and program[at + FLAGS_AT] & INLINE:
            version, then = _text(program, at + HEADER_BYTES)
            listed, _ = _text(program, then)
            if version.startswith(b"go"):
                lines = listed[MARK_BYTES:-MARK_BYTES].decode()
                return [("stdlib", "v" + version[2:].split()[0].decode()), *_listed(lines)]
        at = program.find(MAGIC, at + 1)
    return []


def _text(program: bytes, at: int) -> tuple[bytes, int]:
    """Return the bytes behind their length (a varint of 7 bits each), and where they end."""
    length = shift = 0
    while True:
        byte = program[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return program[at : at + length], at + length


def _listed(lines: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in lines.splitlines():
        kind, *words = line.split("\t")
        if kind in ("mod", "dep"):
            found.append((words[0], words[1]))
        elif kind == "=>":  # what stands in for the one before
            found[-1] = (words[0], words[1])
    return found


def key(version: str) -> Key:
    """Return what sorts as the version does, with or without `v`; raise InvalidVersion."""
    numbers, _, before = version.removeprefix("v").partition("+")[0].partition("-")
    if not NUMBERS.fullmatch(numbers):
        raise InvalidVersion(version)
    counted = tuple(map(int, numbers.split(".")))
    padded = counted + (0,) * (3 - len(counted))
    # A version before another one is less than that one; numbers in it are less than words.
    return padded, 0 if before else 1, tuple(map(_part, before.split("."))) if before else ()


def _part(text: str) -> tuple[int, int, str]:
    return (0, int(text), "") if text.isdigit() else (1, 0, text)
