"""Which key may sign which checkpoint (pure).

Epoch 0 is signed with the key that was printed at installation. Every later epoch begins with a
`record.epoch` entry that states its key; the checkpoint that covers exactly that entry is the
last one under the key before. So whoever trusts the first key can follow the hand-overs, one by
one, to the newest, and a hand-over that is missing breaks the line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.audit.checkpoint import SignedCheckpoint, VerifierKey
from appliance.errors import ApplianceError, BadInputError, TamperedError

ACTION = "record.epoch"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One signing key: its number, the entry that hands over to it (None for 0), the key."""

    number: int
    seq: int | None
    key: str

    @property
    def closing(self) -> int:
        """The size of the checkpoint that covers this hand-over, under the key before."""
        return 0 if self.seq is None else self.seq + 1

    def stated(self, previous: Epoch) -> dict[str, Any]:
        """Return what the hand-over entry states in `content`."""
        return {"epoch": self.number, "key": self.key, "previous": previous.key}


class Epochs:
    """Every epoch so far, in order."""

    def __init__(self, origin: str, epochs: Sequence[Epoch]) -> None:
        """Check numbers, order and form; raise TamperedError when they do not fit together."""
        self.origin = origin
        self.all = tuple(epochs)
        if [epoch.number for epoch in self.all] != list(range(len(self.all))) or not self.all:
            raise TamperedError(None, "its epochs are not numbered 0, 1, 2, …: one is missing")
        if self.all[0].seq is not None:
            raise TamperedError(None, "its first epoch begins with an entry, and should not")
        places = [epoch.seq for epoch in self.all[1:]]
        if None in places or places != sorted(set(places), key=lambda seq: seq or 0):
            raise TamperedError(None, "its epochs are not in order")
        self._keys = [_key(epoch, origin) for epoch in self.all]

    @property
    def current(self) -> Epoch:
        """The newest epoch."""
        return self.all[-1]

    def key(self, epoch: Epoch) -> VerifierKey:
        """Return the parsed key of an epoch."""
        return self._keys[epoch.number]

    def at(self, size: int) -> Epoch:
        """Return the epoch whose key signs a checkpoint of `size` entries."""
        newer = (epoch for epoch in reversed(self.all[1:]) if epoch.closing < size)
        return next(newer, self.all[0])

    def check(self, note: str) -> SignedCheckpoint:
        """Return a checkpoint of this log that the right key signed; raise an ApplianceError."""
        signed = SignedCheckpoint.parse(note)
        if signed.checkpoint.origin != self.origin:
            raise BadInputError(
                f"the checkpoint is of another log, {signed.checkpoint.origin!r}",
                hint=f"this record is {self.origin!r}",
            )
        signed.verify(self.key(self.at(signed.checkpoint.size)))
        return signed

    def check_entry(self, epoch: Epoch, entry: Mapping[str, Any]) -> None:
        """Raise TamperedError unless `entry` hands over to `epoch`."""
        previous = self.all[epoch.number - 1]
        if entry.get("action") != ACTION or entry.get("content") != epoch.stated(previous):
            raise TamperedError(
                epoch.seq, f"it does not hand over from epoch {previous.number} to {epoch.number}"
            )


def _key(epoch: Epoch, origin: str) -> VerifierKey:
    try:
        key = VerifierKey.parse(epoch.key)
    except ApplianceError as error:
        raise TamperedError(epoch.seq, f"the key of epoch {epoch.number} is none") from error
    if key.name != origin:
        raise TamperedError(epoch.seq, f"the key of epoch {epoch.number} is of another log")
    return key
