"""Walks entries that a signed checkpoint covers, as fast as Python can: hash, link, tile.

What a checkpoint covers was checked and encoded by the ledger before it was signed, so here no
entry is parsed: each must hash to what the next one names, and to what its tile holds; the roots
that come out are held against the signed ones (`verify.py`). Ranges begin at a tile, so that
several processes can share one record.
"""

from __future__ import annotations

import hashlib
import sqlite3
from binascii import hexlify
from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance.audit import merkle, store
from appliance.audit.merkle import HASH_BYTES, Frontier, leaf_hash
from appliance.audit.tree import WIDTH, Tree
from appliance.errors import TamperedError

_PREV = b'"prev":"'
_HEX = 2 * HASH_BYTES
# Canonical JSON sorts its keys, so every entry begins with its action.
_RECORD = b'{"action":"record.'
_STATED = (b'{"action":"record.epoch"', b'{"action":"record.prune"')


@dataclass(slots=True)
class Walked:
    """What a walk found: roots of the full tiles in order, the last leaf hash, entries to look at.

    `partial` holds, for each mark that is not at the edge of a tile, the roots of the subtrees
    between that edge and the mark.
    """

    leaf: bytes
    tiles: list[bytes] = field(default_factory=list)
    partial: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    stated: list[tuple[int, bytes]] = field(default_factory=list)


def walk(
    connection: sqlite3.Connection, start: int, stop: int, prev: bytes, marks: Sequence[int]
) -> Walked:
    """Walk entries start..stop-1; `start` is a multiple of 256, `prev` the leaf hash before it.

    `marks` are the sizes of checkpoints in this range. Raises TamperedError at the first bad one.
    """
    walked = Walked(prev)
    tree = Tree(connection)
    waiting = sorted(mark for mark in set(marks) if mark % WIDTH)
    rows = connection.execute(
        "SELECT seq, entry FROM entries WHERE seq >= ? AND seq < ? ORDER BY seq", (start, stop)
    )
    for first in range(start, stop, WIDTH):
        last = min(first + WIDTH, stop)
        leaves = _leaves(connection, rows.fetchmany(last - first), first, last, walked)
        while waiting and waiting[0] <= last:
            mark = waiting.pop(0)
            walked.partial[mark] = _roots(leaves[: mark - first])
        _check_tile(tree, first, leaves)
        if last - first == WIDTH:
            walked.tiles.append(merkle.full_root(leaves))
    return walked


def _leaves(
    connection: sqlite3.Connection,
    rows: Sequence[tuple[int, bytes]],
    first: int,
    last: int,
    walked: Walked,
) -> list[bytes]:
    """Return the leaf hashes of one tile's entries, each linked to the one before."""
    if [seq for seq, _ in rows] != list(range(first, last)):
        raise missing(rows, first)
    sha256, entries = hashlib.sha256, [data for _, data in rows]
    try:
        leaves = [sha256(b"\x00" + data).digest() for data in entries]
    except TypeError:
        wrong = next(seq for seq, data in rows if type(data) is not bytes)
        raise TamperedError(wrong, "its bytes are stored as something else") from None
    before = map(hexlify, [walked.leaf, *leaves])
    for place, (data, expected) in enumerate(zip(entries, before, strict=False)):
        if not data.startswith(expected, data.rfind(_PREV) + len(_PREV)):
            raise broken_link(connection, first + place)
        if data.startswith(_RECORD) and data.startswith(_STATED):
            walked.stated.append((first + place, data))
    walked.leaf = leaves[-1]
    return leaves


def missing(rows: Sequence[tuple[int, bytes]], first: int) -> TamperedError:
    """Return the error for the first number that is not in a run of entries."""
    expected = first
    for seq, _ in rows:
        if seq != expected:
            break
        expected += 1
    return TamperedError(expected, "it is missing")


def broken_link(connection: sqlite3.Connection, seq: int) -> TamperedError:
    """Return the error for an entry that does not name the hash of the one before it.

    Either of the two was changed. The later one is as it was if what follows names its hash.
    """
    data = store.read_entry(connection, seq) or b""
    follower = store.read_entry(connection, seq + 1)
    after = store.read_head(connection).leaf if follower is None else named(follower)
    if seq == 0 or leaf_hash(data) != after:
        return TamperedError(seq, "it names another leaf hash than that of the entry before it")
    return TamperedError(seq - 1, f"entry {seq} names another leaf hash than its bytes give")


def named(data: bytes) -> bytes:
    """Return the leaf hash that an entry names as the one before; b"" when it names none."""
    at = data.rfind(_PREV) + len(_PREV)
    try:
        return bytes.fromhex(data[at : at + _HEX].decode())
    except ValueError:
        return b""


def _check_tile(tree: Tree, first: int, leaves: Sequence[bytes]) -> None:
    tile = tree.tile(0, first // WIDTH)
    if tile is None:
        if len(leaves) < WIDTH:
            return
        raise TamperedError(first, "the tile that covers it is missing")
    # Entries that no checkpoint covers may have filled the tile up.
    if tile.startswith(b"".join(leaves)):
        return
    place = next(n for n, leaf in enumerate(leaves) if tile[n * HASH_BYTES :][:HASH_BYTES] != leaf)
    raise TamperedError(first + place, "its bytes do not give the leaf hash in its tile")


def _roots(leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    return frontier.roots
