"""Debian versions in the order that dpkg puts them in (deb-version(7))."""

from __future__ import annotations

import re

Key = tuple[int, tuple[tuple[tuple[int, ...], int], ...], tuple[tuple[tuple[int, ...], int], ...]]
TILDE, END = -1, 0
NOTHING = ((END,), 0)


def key(version: str) -> Key:
    """Return what sorts as the version does: epoch, upstream version, revision."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch) if epoch.isdigit() else 0, _part(upstream), _part(revision)


def _part(text: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Return alternating runs of other signs and of digits, to a last one that is empty.

    An empty number counts as 0, so runs that are nothing but that say nothing at the end.
    """
    runs = [(_signs(signs), int(digits or 0)) for signs, digits in re.findall(r"(\D*)(\d*)", text)]
    while runs and runs[-1] == NOTHING:
        runs.pop()
    return (*runs, NOTHING)


def _signs(signs: str) -> tuple[int, ...]:
    """Return a run of signs as numbers: `~`, then the end, then letters, then everything else."""
    return (*(_rank(sign) for sign in signs), END)


def _rank(sign: str) -> int:
    if sign == "~":
        return TILDE
    return ord(sign) if sign.isalpha() else ord(sign) + 256
