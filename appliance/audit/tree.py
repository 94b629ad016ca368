"""The tree of a stored record: any subtree's root, from full tiles and from the entries after them.

A tile is 256 hashes side by side (C2SP tlog-tiles): level 0 holds leaf hashes, level 1 the roots
of full level-0 tiles, and so on. Only full tiles are stored; what is not full yet is hashed
anew from the entries, at most 255 of them. Tiles outlive the entries they cover, so proofs still
hold after a prefix was pruned.

Reads only. That the tiles are right is for the verifier to say (`verify.py`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from appliance.audit import merkle
from appliance.audit.merkle import HASH_BYTES, Frontier, leaf_hash, node_hash
from appliance.errors import TamperedError

WIDTH = 256
HEIGHT = 8
TILE_BYTES = WIDTH * HASH_BYTES


class Tree:
    """The tree in one file, as one connection sees it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def subtree(self, start: int, stop: int) -> bytes:
        """Return the root over leaves start..stop-1; see `merkle.inclusion_proof`."""
        width = stop - start
        if width & (width - 1):
            split = start + (1 << (width.bit_length() - 1))
            return node_hash(self.subtree(start, split), self.subtree(split, stop))
        level = (width.bit_length() - 1) // HEIGHT
        shift = level * HEIGHT
        return merkle.root(self.hashes(level, start >> shift, stop >> shift))

    def root(self, size: int) -> bytes:
        """Return the root of the tree over the first `size` entries."""
        return self.frontier(size).root()

    def frontier(self, size: int) -> Frontier:
        """Return the frontier of the tree over the first `size` entries."""
        roots, start = [], 0
        for bit in reversed(range(size.bit_length())):
            if size >> bit & 1:
                roots.append(self.subtree(start, start + (1 << bit)))
                start += 1 << bit
        return Frontier(size, roots)

    def leaf(self, seq: int) -> bytes:
        """Return the leaf hash of one entry, pruned or not."""
        return self.hashes(0, seq, seq + 1)[0]

    def hashes(self, level: int, first: int, stop: int) -> list[bytes]:
        """Return hashes first..stop-1 of a level; all lie within one tile."""
        tile = self.tile(level, first // WIDTH)
        if tile is not None:
            base = first - first % WIDTH
            return split(tile)[first - base : stop - base]
        if level == 0:
            return self._leaves(first, stop)
        return [
            merkle.root(self.hashes(level - 1, n * WIDTH, (n + 1) * WIDTH))
            for n in range(first, stop)
        ]

    def tile(self, level: int, index: int) -> bytes | None:
        """Return a full tile of 8,192 bytes, or None when it is not stored."""
        row = self._connection.execute(
            "SELECT hashes FROM tiles WHERE level = ? AND idx = ?", (level, index)
        ).fetchone()
        if row is None:
            return None
        if type(row[0]) is not bytes or len(row[0]) != TILE_BYTES:
            raise TamperedError(
                index << (level + 1) * HEIGHT, f"its tile of level {level} is not a tile"
            )
        return row[0]

    def _leaves(self, first: int, stop: int) -> list[bytes]:
        rows = self._connection.execute(
            "SELECT seq, entry FROM entries WHERE seq >= ? AND seq < ? ORDER BY seq", (first, stop)
        ).fetchall()
        for seq, row in zip(range(first, stop), rows, strict=False):
            if row[0] != seq:
                raise TamperedError(seq, "it is missing, and no tile holds its hash")
        if len(rows) < stop - first:
            raise TamperedError(first + len(rows), "it is missing, and no tile holds its hash")
        return [leaf_hash(data) for _, data in rows]


class Growth:
    """Collects the full tiles that come up while leaves are added, for the writer."""

    def __init__(self, frontier: Frontier, edge: Sequence[Sequence[bytes]]) -> None:
        """Go on from a frontier; `edge[level]` are the hashes of that level's unfinished tile."""
        self.frontier = frontier
        self._edge = [list(hashes) for hashes in edge]

    @classmethod
    def of(cls, connection: sqlite3.Connection, frontier: Frontier) -> Growth:
        """Read the unfinished tiles of every level, at most 255 hashes each."""
        tree, edge, level = Tree(connection), [], 0
        while (count := frontier.size >> level * HEIGHT) or level == 0:
            edge.append(tree.hashes(level, count - count % WIDTH, count))
            level += 1
        return cls(frontier.copy(), edge)

    def copy(self) -> Growth:
        """Return one that grows on its own, for a transaction that may fail."""
        return Growth(self.frontier.copy(), self._edge)

    def add(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Take the next leaf hash; return the tiles it completes: (level, index, 8,192 bytes)."""
        self.frontier.add(leaf)
        edge = self._edge[0]
        edge.append(leaf)
        return self._complete() if len(edge) == WIDTH else []

    def _complete(self) -> list[tuple[int, int, bytes]]:
        done, level = [], 0
        while len(self._edge[level]) == WIDTH:
            full = self._edge[level]
            index = (self.frontier.size >> (level + 1) * HEIGHT) - 1
            done.append((level, index, b"".join(full)))
            self._edge[level] = []
            level += 1
            if level == len(self._edge):
                self._edge.append([])
            self._edge[level].append(merkle.full_root(full))
        return done


def split(tile: bytes) -> list[bytes]:
    """Return the hashes in a tile, whole or partial."""
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]
