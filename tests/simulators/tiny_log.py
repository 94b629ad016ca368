"""A record small enough to lie: it signs whatever it is told to, forks, goes back, loses its key.

The real record refuses all of that, so a witness could never be shown it otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit import merkle
from appliance.audit.checkpoint import Checkpoint, SignedCheckpoint, Signer
from appliance.audit.proof import TlogProof
from appliance.audit.tlog_witness import AddCheckpoint

ORIGIN = "hospital/audit/0123456789abcdef"


def signer(number: int, origin: str = ORIGIN) -> Signer:
    """Return the key of epoch `number`, the same one each time."""
    return Signer(origin, Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


@dataclass
class TinyLog:
    """Entries in memory; `closings` maps an epoch to the size that its hand-over closes."""

    entries: list[bytes] = field(default_factory=list)
    epoch: int = 0
    closings: dict[int, int] = field(default_factory=dict)

    def grow(self, count: int, mark: str = "") -> TinyLog:
        """Append plain entries; `mark` makes another history."""
        for _ in range(count):
            self.entries.append(f"entry {len(self.entries)} {mark}".encode())
        return self

    def copy(self) -> TinyLog:
        """Return one that goes on by itself, as a fork does."""
        return TinyLog(list(self.entries), self.epoch, dict(self.closings))

    def hand_over(self, **changes: object) -> TinyLog:
        """Append the entry that opens the next epoch; `changes` make it a false one."""
        self.epoch += 1
        entry = {
            "action": "record.epoch",
            "log": ORIGIN,
            "seq": len(self.entries),
            "content": {
                "epoch": self.epoch,
                "key": str(signer(self.epoch).key),
                "previous": str(signer(self.epoch - 1).key),
            },
        }
        entry["content"] = {**entry["content"], **changes.pop("content", {})}  # type: ignore[dict-item]
        self.entries.append(json.dumps({**entry, **changes}).encode())
        self.closings[self.epoch] = len(self.entries)
        return self

    def signed(self, size: int | None = None, epoch: int | None = None) -> SignedCheckpoint:
        """Return a checkpoint over the first `size` entries under the key of that epoch."""
        size = len(self.entries) if size is None else size
        at = sum(closing < size for closing in self.closings.values())
        checkpoint = Checkpoint(ORIGIN, size, self._subtree()(0, size))
        return signer(at if epoch is None else epoch).sign(checkpoint)

    def ask(self, old: int, size: int | None = None, epoch: int | None = None) -> bytes:
        """Return the body of a request that proves growth from `old`."""
        signed = self.signed(size, epoch)
        new = signed.checkpoint.size
        proof = merkle.consistency_proof(old, new, self._subtree()) if old <= new else []
        return AddCheckpoint(old, tuple(proof), signed).body()

    def proof(self, number: int, size: int | None = None, epoch: int | None = None) -> bytes:
        """Return the proof of the hand-over to epoch `number` under its closing checkpoint."""
        size = self.closings[number] if size is None else size
        seq = self.closings[number] - 1
        hashes = merkle.inclusion_proof(seq, size, self._subtree())
        signed = self.signed(size, number - 1 if epoch is None else epoch)
        return TlogProof(self.entries[seq], seq, tuple(hashes), signed).text().encode()

    def _subtree(self) -> Callable[[int, int], bytes]:
        leaves = [merkle.leaf_hash(entry) for entry in self.entries]
        return lambda start, stop: merkle.root(leaves[start:stop])
