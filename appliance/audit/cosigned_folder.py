"""What witnesses signed, kept beside the record: the newest note of each, whole or not there.

The ledger holds the record against these files at each start, so it alone writes them: where it
has a container of its own, nobody else reaches the folder. Whoever may call it can hand in what a
witness signed over this very record, and nothing else; not older than what is kept, and of few
witnesses but the one that the ledger's settings name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from appliance import durable
from appliance.audit.anchor_file import SUFFIX, plain
from appliance.audit.checkpoint import COSIGNATURE, Checkpoint, SignedCheckpoint, VerifierKey
from appliance.errors import BadInputError, ConflictError, VerificationError

MOST_OTHERS = 8
HINT_BEHIND = (
    "this record is older than what the witness saw, or another one: stop, keep the files as "
    "they are, and call the person in charge of security"
)


def require_witness(key: VerifierKey) -> None:
    """Raise BadInputError for a key of another kind than a witness has."""
    if key.algorithm != COSIGNATURE:
        raise BadInputError(
            "that is not the key of a witness",
            hint="`appliance audit witness show` on the witness prints the right one",
        )


def contained(seen: Checkpoint, size: int, root_at: Callable[[int], bytes]) -> None:
    """Raise VerificationError unless a record of `size` entries contains what a witness saw."""
    if seen.size > size:
        what = f"the witness saw {seen.size} entries, and this record has {size}"
    elif root_at(seen.size) != seen.root:
        what = f"the first {seen.size} entries are not those that the witness saw"
    else:
        return
    raise VerificationError(what, hint=HINT_BEHIND)


class CosignedFolder:
    """One file per witness. `pinned` is the witness that the ledger's settings name, if any."""

    def __init__(self, folder: Path, pinned: VerifierKey | None) -> None:
        self._folder, self._pinned = folder, pinned
        # Between looking at what is kept and writing, nobody else may write.
        self._one_at_a_time = threading.Lock()

    def newest(self, witness: VerifierKey) -> str:
        """Return what this witness signed last, as far as it is kept and sound, else ''."""
        signed = self._read(witness)
        return "" if signed is None else signed.note()

    def keep(self, signed: SignedCheckpoint, witness: VerifierKey) -> None:
        """Keep a note of this record, durably, in place of the older one.

        Raises VerificationError unless the witness signed it, ConflictError when a newer one is
        kept, or when notes of too many witnesses are.
        """
        require_witness(witness)
        signed.verify(witness)
        with self._one_at_a_time:
            self._keep(signed, witness)

    def _keep(self, signed: SignedCheckpoint, witness: VerifierKey) -> None:
        kept = self._read(witness)
        if kept is not None and signed.checkpoint.size < kept.checkpoint.size:
            raise ConflictError(
                "a newer answer of this witness was taken already", hint="nothing is left to do"
            )
        path = self._path(witness)
        if witness != self._pinned:
            self._require_place(path)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        durable.write(path, signed.note().encode())

    def _require_place(self, path: Path) -> None:
        pinned = None if self._pinned is None else self._path(self._pinned)
        if path == pinned:
            # Or a witness of nearly that name could take the signature away that counts.
            raise ConflictError(
                "the answer of the witness in ledger.witness_key has this name",
                hint="give the other witness another name, or set its key in ledger.witness_key",
            )
        others = {*self._folder.glob(f"witness-*{SUFFIX}")} - {pinned}
        if path not in others and len(others) >= MOST_OTHERS:
            raise ConflictError(
                f"the answers of {MOST_OTHERS} witnesses are kept already",
                hint="name the one that counts in ledger.witness_key",
            )

    def _read(self, witness: VerifierKey) -> SignedCheckpoint | None:
        try:
            signed = SignedCheckpoint.parse(self._path(witness).read_bytes())
            signed.verify(witness)
        except (OSError, BadInputError, VerificationError):
            return None  # the witness will say how far it saw
        return signed

    def _path(self, witness: VerifierKey) -> Path:
        return self._folder / f"witness-{plain(witness.name)}{SUFFIX}"
