"""One entry with its proof, checked as somebody outside would check it.

The entry comes from the tree's own store and not from a search, so an index that hides something
hides nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.entry import leaf_hash
from appliance.audit.epochs import Epoch, Epochs
from appliance.audit.ledger import EpochKey, Ledger
from appliance.audit.proof import TlogProof
from appliance.errors import TamperedError, VerificationError


@dataclass(frozen=True)
class Proved:
    """An entry that is in the record under a signed checkpoint; `entry` has its `leaf` in hex.

    `size` and `root` (32 bytes) are the checkpoint's, `key_id` names its key in hex, and `epoch`
    says which of the record's keys that is.
    """

    entry: dict[str, Any] = field(repr=False)
    size: int
    root: bytes
    key_id: str
    epoch: int

    @property
    def seq(self) -> int:
        """The number of the entry."""
        return int(self.entry["seq"])

    def facts(self) -> dict[str, int]:
        """Return what the record says of having proved it."""
        return {"entry": self.seq, "size": self.size}


def prove(ledger: Ledger, seq: int) -> Proved:
    """Return the entry; raise NotFoundError if it is not there, TamperedError if it was altered.

    Raises VerificationError when the checkpoint is not signed by the key that was to sign it.
    """
    proof = TlogProof.parse(ledger.prove(seq))
    # Asked for after the proof: its checkpoint may be the first one under a new key.
    epochs = _epochs(ledger.keys())
    checkpoint = epochs.check(proof.note).checkpoint
    epoch = epochs.at(checkpoint.size)
    key = epochs.key(epoch)
    try:
        proof.verify(key)
    except VerificationError as error:
        raise TamperedError(seq, "its hash does not lead to the root that was signed") from error
    entry = json.loads(proof.entry)
    if proof.seq != seq or entry.get("seq") != seq:
        raise TamperedError(seq, "another entry stands in its place")
    leaf = leaf_hash(proof.entry).hex()
    root, key_id = checkpoint.root, key.id.hex()
    return Proved({**entry, "leaf": leaf}, checkpoint.size, root, key_id, epoch.number)


def _epochs(keys: Sequence[EpochKey]) -> Epochs:
    origin = VerifierKey.parse(keys[0].key).name
    return Epochs(origin, [Epoch(key.number, key.seq, key.key) for key in keys])
