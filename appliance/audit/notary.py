"""Signs the record: when a checkpoint is due, with which key, and what lies beside the record.

A checkpoint is due every 1,000 entries, and 60 seconds after the first entry that none covers.
A new epoch is due when the date (UTC) is another than when the current one began, and after a day
of running whatever the clock says: a clock that was set must not keep an old key alive.

The newest checkpoint is also written to `audit.anchors/`, beside the record but not in it: a
copy of the record from yesterday that is put back no longer fits, and the ledger refuses it.

Not here: transactions (`recorder.py`). One thread at a time may call.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path

from appliance import durable
from appliance.audit.checkpoint import Checkpoint, Signer
from appliance.audit.epochs import Epoch, Epochs
from appliance.audit.keys import KeyFolder
from appliance.audit.merkle import Frontier
from appliance.clock import Clock
from appliance.errors import ApplianceError, TamperedError, VerificationError

EVERY_ENTRIES = 1_000
EVERY_NS = 60 * 1_000_000_000
DAY_S = 86_400
DAY_NS = DAY_S * 1_000_000_000
NEWEST = "newest.checkpoint"
HINT_KEYS = (
    "the record was not opened and nothing was changed; if a backup was put back, put back the "
    "newest one, with its folder audit.keys; else call the person in charge of security"
)


class Notary:
    """Holds the private key of the current epoch."""

    def __init__(
        self,
        keys: KeyFolder,
        anchors: Path,
        epochs: Epochs,
        signed: int,
        opened: str | None,
        clock: Clock,
    ) -> None:
        """Take the current epoch's key, and destroy what a crash left of others.

        `signed` is the size of the newest checkpoint, `opened` the time (RFC 3339) of the entry
        that the current epoch began with, None in an empty record. Raises VerificationError when
        the key is missing or another.
        """
        self.epochs = epochs
        self.signed = signed
        self._keys, self._anchors, self._clock = keys, anchors, clock
        self._signer = self._take_key()
        self._next: Signer | None = None
        self._opened = None if opened is None else _day(datetime.fromisoformat(opened).timestamp())
        self._opened_ns = self._unsigned_ns = clock.monotonic_ns()
        self._waiting = False

    def note_growth(self, size: int) -> bool:
        """Tell whether a checkpoint is due now that the record has `size` entries."""
        if size <= self.signed:
            self._waiting = False
            return False
        now = self._clock.monotonic_ns()
        if not self._waiting:
            self._waiting, self._unsigned_ns = True, now
        return size - self.signed >= EVERY_ENTRIES or now - self._unsigned_ns >= EVERY_NS

    def sign(self, tree: Frontier) -> tuple[int, str]:
        """Return size and note of a checkpoint over the tree; not yet stored anywhere."""
        checkpoint = Checkpoint(self.epochs.origin, tree.size, tree.root())
        return tree.size, self._signer.sign(checkpoint).note()

    def stored(self, checkpoint: tuple[int, str]) -> None:
        """Note that a checkpoint is durable in the record, and leave a copy beside it."""
        self.signed, note = checkpoint
        self._waiting = False
        # Without room for the copy the older one stays; it holds just as well.
        with contextlib.suppress(ApplianceError, OSError):
            self._anchors.mkdir(mode=0o700, exist_ok=True)
            durable.write(self._anchors / NEWEST, note.encode())
        # A key that could not be destroyed at its hand-over must not outlive the failure.
        with contextlib.suppress(OSError):
            for number in self._keys.present():
                if number < self.epochs.current.number:
                    self._keys.destroy(number)

    def hand_over_due(self) -> bool:
        """Tell whether the day's new key is due."""
        if self._opened is None:  # an empty record: its first day begins now
            self._opened = self._today()
        running = self._clock.monotonic_ns() - self._opened_ns
        return self._today() != self._opened or running >= DAY_NS

    def next_epoch(self, seq: int) -> Epoch:
        """Make the next key, durable but unused, and return the epoch that entry `seq` opens."""
        number = self.epochs.current.number + 1
        if self._next is None:
            self._next = self._keys.make(number)
        return Epoch(number, seq, str(self._next.key))

    def handed_over(self, epoch: Epoch) -> None:
        """Go on with the new key, and destroy the old one: its last checkpoint is durable."""
        old = self.epochs.current.number
        self.epochs = Epochs(self.epochs.origin, (*self.epochs.all, epoch))
        self._signer, self._next = self._next or self._signer, None
        self._opened, self._opened_ns = self._today(), self._clock.monotonic_ns()
        self._keys.destroy(old)

    def _take_key(self) -> Signer:
        current = self.epochs.current
        signer = self._keys.load(current.number)
        if signer is None:
            newer = [number for number in self._keys.present() if number > current.number]
            what = (
                f"its newest key is of epoch {current.number}, but the key at hand is of epoch "
                f"{newer[-1]}: this is an older copy of the record"
                if newer
                else f"the private key of its epoch {current.number} is missing"
            )
            raise TamperedError(None, what, hint=HINT_KEYS)
        if str(signer.key) != current.key:
            raise VerificationError(
                f"the private key of epoch {current.number} does not belong to this record",
                hint=HINT_KEYS,
            )
        for number in self._keys.present():
            if number != current.number:
                self._keys.destroy(number)
        self._keys.destroy_unfinished()
        for path in durable.unfinished(self._anchors, NEWEST):
            path.unlink()
        return signer

    def _today(self) -> int:
        return _day(self._clock.now())


def _day(unix_time: float) -> int:
    """Return the number of the day (UTC) since 1970-01-01."""
    return int(unix_time // DAY_S)
