"""Is the record at rest whole? Returns a `VerifiedRecord`, or raises naming the first bad entry.

Works on the file, read-only and without the ledger's lock: while the ledger runs, while it is
down, and on a copy. Steps, in this order:

1. Open the file; its tables and triggers are exactly those that were made.
2. Its epochs follow one another, each key stated under the one before (`epochs.py`).
3. Every entry that a checkpoint covers fits the chain and its tile (`prefix.py`), on all cores.
4. Those after the newest checkpoint are few, and each is checked field by field (`chain.py`).
5. Every checkpoint is signed by its epoch's key, and names the root that was found.
6. What was pruned was stated; what is left of it are tiles that lead to the same roots.
7. The head is what all this leads to, and every anchor at hand holds (`anchors.py`).
8. SQLite's own integrity check holds, so that each entry is found by its number.

`check_start` does the same from the newest checkpoint on, which is all that a start has to read.

Not caught without an anchor kept elsewhere: an older copy of the whole file together with what
lies beside it, or a record that whoever holds the present key wrote anew from the last hand-over.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.audit import anchors as anchoring
from appliance.audit import parallel, prefix, store, structure
from appliance.audit.anchors import Anchor, Places, folder_beside
from appliance.audit.chain import Chain, ChainHead, Stored
from appliance.audit.entry import GENESIS
from appliance.audit.epochs import Epochs
from appliance.audit.ledger import VerifiedRecord
from appliance.audit.merkle import HASH_BYTES, Frontier, leaf_hash
from appliance.audit.notary import EVERY_ENTRIES
from appliance.audit.prefix import Walked
from appliance.audit.statements import STATING, Statements, value_of
from appliance.audit.tree import WIDTH, Tree, split
from appliance.errors import ApplianceError, TamperedError

# The entry that makes so many without a checkpoint is stored together with a new one; twice as
# much, so that nothing depends on that to the entry.
LONGEST_TAIL = 2 * EVERY_ENTRIES
OLDEST_TAIL_US = 10 * 60 * 1_000_000


@dataclass(frozen=True)
class Opened:
    """A record that may be written: its name, its epochs, and how far it is signed.

    `opened` is the time of the entry that the current epoch began with, None in an empty record.
    """

    log: str
    epochs: Epochs
    signed: int
    opened: str | None


def verify_file(
    path: Path,
    places: Places | None = None,
    given: Sequence[Anchor] = (),
    *,
    processes: int = 0,
) -> VerifiedRecord:
    """Walk the record in `path`; raise TamperedError with `.seq` and `.what` if it is not whole.

    Anchors are looked for in `places` (None: beside the record), and `given` are added. With
    `processes` 0 all cores help with a long record.

    Raises NotInitialisedError when the file is missing, UnavailableError when it cannot be read.
    """
    with store.translated(), contextlib.closing(store.open_reader(path)) as connection:
        # One snapshot: the ledger may go on writing meanwhile.
        connection.execute("BEGIN")
        record = _Record(connection, places or Places(folder_beside(path)), given)
        with structure.naming_damage(connection):
            verified = record.verify(parallel.walker(path, connection, processes))
        structure.check_integrity(connection)
    return verified


def check_start(connection: sqlite3.Connection, places: Places) -> Opened:
    """Verify what a start needs: keys, the newest checkpoint, and everything after it.

    Raises TamperedError when the record must not be written.
    """
    return _Record(connection, places, ()).check_tail()


class _Record:
    """One snapshot of a record, and what is known of it so far."""

    def __init__(
        self, connection: sqlite3.Connection, places: Places, given: Sequence[Anchor]
    ) -> None:
        self._connection = connection
        structure.check_schema(connection)
        self._log, first_key = store.read_meta(connection)
        self._head = store.read_head(connection)
        self._epochs = Epochs(self._log, store.read_epochs(connection))
        if self._epochs.all[0].key != first_key:
            raise TamperedError(None, "it names two first keys")
        self._tree = Tree(connection)
        pruned = self._head.pruned
        if pruned % WIDTH or not 0 <= pruned <= self._head.size:
            raise TamperedError(None, f"its head says that {pruned} entries were let go")
        self._anchors = [*places.at_hand(self._log), *given]
        self._checkpoints = connection.execute(
            "SELECT size, note FROM checkpoints ORDER BY size"
        ).fetchall()
        self._signed = self._checkpoints[-1][0] if self._checkpoints else 0
        self._tail_began: dict[str, int] = {}  # by boot, in its monotonic microseconds
        sizes = [size for size, _ in self._checkpoints]
        self._statements = Statements(connection, self._epochs, self._head, sizes)
        if self._signed > self._head.size:
            raise TamperedError(
                self._head.size, f"it is missing; a checkpoint covers {self._signed} entries"
            )
        if self._head.size - self._signed > LONGEST_TAIL:
            raise TamperedError(
                self._signed, "no checkpoint covers it, and there is one for every "
                f"{EVERY_ENTRIES:,} entries: the newest ones were taken away",
            )  # fmt: skip

    def verify(self, walk: parallel.Walk) -> VerifiedRecord:
        """Do steps 3 to 7."""
        pruned = self._head.pruned
        self._check_pruned_leftovers()
        marks = {size for size, _ in self._checkpoints}
        marks |= {anchor.checkpoint.size for anchor in self._anchors}
        within = sorted(mark for mark in marks if pruned < mark <= self._signed)
        before = self._tree.leaf(pruned - 1) if pruned else GENESIS
        walked = walk(pruned, self._signed, before, within)
        roots = self._roots(walked, within)
        self._check_checkpoints(self._checkpoints, roots)
        tail = self._walk_tail(walked.leaf, self._frontier_at(self._signed, roots))
        structure.check_tiles(self._connection, self._tree, self._head, walked.tiles)
        self._statements.check([*walked.stated, *tail])
        anchored = anchoring.check(
            self._anchors, self._epochs, self._head.size,
            lambda size: roots.get(size) or self._tree.root(size),
        )  # fmt: skip
        return VerifiedRecord(
            entries=self._head.size,
            first_t=self._time_of(pruned),
            last_t=self._time_of(self._head.size - 1),
            head=self._head.chain,
            pruned=pruned,
            signed=self._signed,
            anchored=anchored,
        )

    def check_tail(self) -> Opened:
        """Do the same from the newest checkpoint on."""
        newest = self._checkpoints[-1:]
        self._walk_edge()
        signed = self._tree.frontier(self._signed)
        self._check_checkpoints(newest, {self._signed: signed.root()})
        before = self._tree.leaf(self._signed - 1) if self._signed else GENESIS
        self._walk_tail(before, signed)
        self._statements.check_hand_overs()
        anchoring.check(self._anchors, self._epochs, self._head.size, self._tree.root)
        first = self._time_of(self._epochs.current.seq or self._head.pruned)
        return Opened(self._log, self._epochs, self._signed, first)

    def _walk_edge(self) -> None:
        """Walk the unfinished tile before the newest checkpoint: an error there names its entry."""
        start = self._signed - self._signed % WIDTH
        before = self._tree.leaf(start - 1) if start else GENESIS
        prefix.walk(self._connection, start, self._signed, before, ())

    def _roots(self, walked: Walked, marks: Sequence[int]) -> dict[int, bytes]:
        """Return the root of the tree at every mark, out of what the walk found."""
        frontier = self._tree.frontier(self._head.pruned)
        roots: dict[int, bytes] = {}
        waiting = list(marks)
        for number in range(len(walked.tiles) + 1):
            while waiting and waiting[0] < frontier.size + WIDTH:
                mark = waiting.pop(0)
                roots[mark] = _extended(frontier, mark, walked.partial.get(mark, ())).root()
            if number < len(walked.tiles):
                frontier.add_subtree(walked.tiles[number], WIDTH)
        return roots

    def _frontier_at(self, size: int, roots: dict[int, bytes]) -> Frontier:
        """Return the tree at `size`, as the tiles have it; its root must be the one found."""
        frontier = self._tree.frontier(size)
        if size > self._head.pruned and frontier.root() != roots[size]:
            raise TamperedError(None, "its tiles do not lead to the root of its entries")
        return frontier

    def _check_checkpoints(
        self, checkpoints: Sequence[tuple[int, str]], roots: dict[int, bytes]
    ) -> None:
        whole = 0
        for size, note in checkpoints:
            try:
                signed = self._epochs.check(note)
            except ApplianceError as error:
                raise TamperedError(
                    whole, f"the checkpoint after it, over {size} entries, is not good: "
                    f"{error.message}",
                ) from error  # fmt: skip
            point = signed.checkpoint
            if len(signed.signatures) != 1:
                raise TamperedError(whole, f"the checkpoint after it, over {size} entries, has "
                                    "signatures that the ledger did not make")  # fmt: skip
            if point.size != size or point.root != (roots.get(size) or self._tree.root(size)):
                self._check_last(size, point.root)
                raise TamperedError(
                    whole,
                    f"it or one after it, up to entry {size - 1}, is another than the one that "
                    f"the checkpoint over {size} entries was signed for",
                )
            whole = size

    def _check_last(self, size: int, root: bytes) -> None:
        """Raise for entry `size` - 1 if it alone, the last one that is signed, is another.

        Then the signed root comes out with the hash that is named after it in its place.
        """
        if size != self._signed or not 0 < size <= self._head.size:
            return
        follower = store.read_entry(self._connection, size)
        named = self._head.leaf if follower is None else prefix.named(follower)
        tree = self._tree.frontier(size - 1)
        if len(named) == HASH_BYTES:
            tree.add(named)
        if tree.root() == root:
            raise TamperedError(size - 1, "its bytes do not give the leaf hash named after it")

    def _walk_tail(self, leaf: bytes, tree: Frontier) -> list[tuple[int, bytes]]:
        """Check each entry after the newest checkpoint; return those to look at."""
        chain, stated = Chain(self._log, ChainHead(tree.size, leaf)), []
        leaves: list[bytes] = []
        rows = self._connection.execute(
            "SELECT seq, entry FROM entries WHERE seq >= ? ORDER BY seq", (tree.size,)
        )
        for seq, data in rows:
            if type(data) is not bytes:
                raise TamperedError(seq, "its bytes are stored as something else")
            stored = Stored(seq, data, leaf_hash(data))
            value = self._added(chain, stored)
            self._check_age(value)
            tree.add(stored.leaf)
            leaves.append(stored.leaf)
            if value["action"] in STATING:
                stated.append((seq, data))
        self._check_head(chain.head, tree)
        self._check_tail_tiles(leaves)
        return stated

    def _check_tail_tiles(self, leaves: Sequence[bytes]) -> None:
        """Hold the full tiles after the newest checkpoint against the leaf hashes found there."""
        for index in range(self._signed // WIDTH, self._head.size // WIDTH):
            start = max(index * WIDTH, self._signed)
            expected = leaves[start - self._signed :][: (index + 1) * WIDTH - start]
            found = self._tree.tile(0, index)
            if found is None:
                raise TamperedError(index * WIDTH, "the tile that covers it is missing")
            pairs = zip(expected, split(found)[start % WIDTH :], strict=True)
            for seq, (leaf, stored) in enumerate(pairs, start):
                if leaf != stored:
                    raise TamperedError(seq, "its bytes do not give the leaf hash in its tile")

    def _check_age(self, entry: Mapping[str, Any]) -> None:
        """Raise if the ledger would have signed long before this entry: a checkpoint is gone."""
        began = self._tail_began.setdefault(entry["boot"], entry["mono"])
        if entry["mono"] - began > OLDEST_TAIL_US:
            raise TamperedError(
                self._signed,
                f"it and those up to entry {entry['seq']} are under no checkpoint, though the "
                "ledger signs every minute: checkpoints were removed",
            )

    def _added(self, chain: Chain, stored: Stored) -> dict[str, Any]:
        before = chain.head
        try:
            return chain.add(stored)
        except TamperedError as error:
            if error.seq == stored.seq - 1 >= 0 and stored.seq == before.size:
                raise prefix.broken_link(self._connection, stored.seq) from error
            raise

    def _check_head(self, reached: ChainHead, tree: Frontier) -> None:
        head = self._head
        if reached.size < head.size:
            raise TamperedError(reached.size, f"it is missing; the head counts {head.size} entries")
        if reached != head.chain or tree.roots != head.tree().roots:
            last = max(reached.size - 1, 0)
            raise TamperedError(last, "the head does not name it as the last entry")

    def _check_pruned_leftovers(self) -> None:
        """What was kept of the pruned entries, such as hand-overs, is still what was signed."""
        rows = self._connection.execute(
            "SELECT seq, entry FROM entries WHERE seq < ? ORDER BY seq", (self._head.pruned,)
        )
        for seq, data in rows:
            if seq < 0:
                raise TamperedError(seq, "no entry has this number")
            if type(data) is not bytes or leaf_hash(data) != self._tree.leaf(seq):
                raise TamperedError(seq, "its bytes do not give the leaf hash in its tile")

    def _time_of(self, seq: int) -> str | None:
        data = store.read_entry(self._connection, seq)
        return None if data is None else str(value_of(seq, data)["t"])


def _extended(frontier: Frontier, size: int, roots: Sequence[bytes]) -> Frontier:
    """Return the frontier with the subtrees of an unfinished tile added, up to `size`."""
    longer, rest = frontier.copy(), size - frontier.size
    for root in roots:
        leaves = 1 << (rest.bit_length() - 1)
        longer.add_subtree(root, leaves)
        rest -= leaves
    return longer
