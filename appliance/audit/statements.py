"""Is it as the entries state? Hand-overs to new keys, and what the record let go of.

Parts of the verification (`verify.py`); entries come from a record whose hashes were checked.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from typing import Any

from appliance.audit import epochs as handing_over
from appliance.audit import store
from appliance.audit.entry import FIELDS
from appliance.audit.epochs import Epoch, Epochs
from appliance.audit.merkle import leaf_hash
from appliance.audit.store import Head
from appliance.audit.tree import Tree
from appliance.errors import TamperedError

PRUNE = "record.prune"
# Entries of these actions state something about the record itself.
STATING = frozenset({handing_over.ACTION, PRUNE})
_FIELD_SET = frozenset(FIELDS)


class Statements:
    """What one record states of its keys and of what it let go."""

    def __init__(
        self, connection: sqlite3.Connection, epochs: Epochs, head: Head, sizes: Collection[int]
    ) -> None:
        """`sizes` are those of all checkpoints, the largest last."""
        self._connection, self._epochs, self._head = connection, epochs, head
        self._sizes, self._tree = frozenset(sizes), Tree(connection)
        self._signed = max(sizes, default=0)

    def check(self, stated: Iterable[tuple[int, bytes]]) -> None:
        """Hold the hand-overs and the pruning against what the entries state."""
        values = [(seq, value_of(seq, data)) for seq, data in stated]
        known = {epoch.seq for epoch in self._epochs.all}
        for seq, value in values:
            if value["action"] == handing_over.ACTION and seq not in known:
                raise TamperedError(seq, "it hands over to a key that the table does not have")
        self.check_hand_overs()
        if self._head.pruned and not any(
            self._lets_go(seq, value) for seq, value in values if value["action"] == PRUNE
        ):
            raise TamperedError(0, "it is missing, and no signed entry states that it was let go")

    def _lets_go(self, seq: int, value: dict[str, Any]) -> bool:
        """Tell whether an entry states what was pruned; a chain without a signature is no proof."""
        stated = value["content"]
        before = stated.get("before") if isinstance(stated, dict) else None
        return (
            type(before) is int
            and seq < self._signed
            and value["outcome"] == "success"
            and self._head.pruned <= before <= seq
            and stated.get("root") == self._tree.root(before).hex()
        )

    def check_hand_overs(self) -> None:
        """Each epoch's entry states its key, and the checkpoint that covers it is there."""
        for epoch in self._epochs.all[1:]:
            self._epochs.check_entry(epoch, self._entry(epoch))
            if epoch.closing not in self._sizes:
                raise TamperedError(
                    epoch.seq, f"the checkpoint that hands over to epoch {epoch.number} is missing"
                )

    def _entry(self, epoch: Epoch) -> dict[str, Any]:
        data = None if epoch.seq is None else store.read_entry(self._connection, epoch.seq)
        if data is None or leaf_hash(data) != self._tree.leaf(epoch.seq or 0):
            raise TamperedError(epoch.seq, f"it should hand over to epoch {epoch.number}")
        return value_of(epoch.seq, data)


def value_of(seq: int | None, data: bytes) -> dict[str, Any]:
    """Return what an entry states, which whoever had the key may have made up."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TamperedError(seq, "its bytes are not JSON") from error
    if not isinstance(value, dict) or value.keys() != _FIELD_SET:
        raise TamperedError(seq, "it has not the fields of an entry")
    return value
