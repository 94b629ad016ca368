"""Checkpoints kept outside the record, against which the record has to hold.

A copy of the record from yesterday is whole in itself; only something that is not in it can tell
that it is old. Every `*.checkpoint` file in the folders at hand is such a thing. One that cannot
be read is an error and not skipped: garbling it would otherwise be as good as removing it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.audit.anchor_file import SUFFIX
from appliance.audit.checkpoint import MAX_NOTE_BYTES, Checkpoint, SignedCheckpoint, VerifierKey
from appliance.audit.epochs import Epochs
from appliance.config import Ledger as Settings
from appliance.errors import ApplianceError, BadInputError, TamperedError

HINT_OLD = (
    "nothing was changed; this is an older copy, or entries were cut off: put back the newest "
    "copy of audit.db with its folders audit.keys and audit.anchors; if the older one has to go "
    "on, that is a decision for two people, and the entries that are missing are lost"
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """One checkpoint at hand; `elsewhere` unless whoever holds the machine may have made it."""

    name: str
    signed: SignedCheckpoint
    elsewhere: bool

    @property
    def checkpoint(self) -> Checkpoint:
        return self.signed.checkpoint


@dataclass(frozen=True, slots=True)
class Places:
    """Where checkpoints at hand may lie.

    `beside` is the folder next to the record: whoever holds the machine can write it, so what
    lies there vouches only with the co-signature of `witness`. `elsewhere` are other places.
    """

    beside: Path
    elsewhere: tuple[Path, ...] = ()
    witness: VerifierKey | None = None

    @classmethod
    def of(cls, record: Path, settings: Settings) -> Places:
        """Return the places of a record, as the site has set them."""
        key = VerifierKey.parse(settings.witness_key) if settings.witness_key else None
        return cls(folder_beside(record), tuple(map(Path, settings.anchor_folders)), key)

    def at_hand(self, origin: str) -> list[Anchor]:
        """Return the anchors of this log; those of other logs are left out."""
        beside = [replace(found, elsewhere=self._witnessed(found)) for found in _all(self.beside)]
        others = [found for folder in self.elsewhere for found in _all(folder)]
        return [found for found in (*beside, *others) if found.checkpoint.origin == origin]

    def _witnessed(self, anchor: Anchor) -> bool:
        return self.witness is not None and bool(anchor.signed.signed_by([self.witness]))


def folder_beside(record: Path) -> Path:
    """Return where a record's own checkpoints lie: next to it."""
    return record.with_suffix(".anchors")


def _all(folder: Path) -> list[Anchor]:
    return [read(path) for path in _files(folder)]


def _files(folder: Path) -> list[Path]:
    """Return the anchors in a folder; none when it is not there, such as a stick kept elsewhere."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BadInputError(
            f"the folder of checkpoints {folder} cannot be read: {error.strerror}",
            hint="let the appliance read it, or take it out of ledger.anchor_folders",
        ) from error
    # Neither what a crash left unfinished, nor what some systems put beside each file.
    return [folder / name for name in sorted(names) if name.endswith(SUFFIX) and name[0] != "."]


def read(path: Path) -> Anchor:
    """Read one file; raise BadInputError naming it when it holds no checkpoint."""
    try:
        with path.open("rb") as file:
            return take(str(path), file.read(MAX_NOTE_BYTES + 1))
    except (OSError, BadInputError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise BadInputError(
            f"the checkpoint file {path} cannot be read: {why}",
            hint="check the path, or fetch another copy of it; if there is none, move this file "
            "away and say so in the report",
        ) from error


def take(name: str, data: bytes) -> Anchor:
    """Return the anchor in `data`; raise BadInputError when it is no checkpoint."""
    return Anchor(name, SignedCheckpoint.parse(data), elsewhere=True)


def check(
    anchors: Iterable[Anchor], epochs: Epochs, size: int, root_at: Callable[[int], bytes]
) -> int:
    """Return the largest size that an anchor kept elsewhere vouches for (0: none).

    Raises TamperedError for the first anchor that the record does not hold against.
    """
    most = 0
    for anchor in sorted(anchors, key=lambda one: one.checkpoint.size):
        point = anchor.checkpoint
        if point.size > size:
            raise TamperedError(
                size,
                f"it is missing: {anchor.name} is a checkpoint over {point.size} entries",
                hint=HINT_OLD,
            )
        if root_at(point.size) != point.root:
            raise TamperedError(
                None, f"the first {point.size} entries are not those that {anchor.name} vouches for"
            )
        try:
            epochs.check(anchor.signed.note())
        except ApplianceError as error:
            raise TamperedError(
                None, f"its keys are not those that signed {anchor.name} ({error.message})"
            ) from error
        if anchor.elsewhere:
            most = max(most, point.size)
    return most
