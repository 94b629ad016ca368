"""Gets a witness's signature under the newest checkpoint: over HTTP, or by a stick.

The witness knows the log by one key, and our keys change each day. So it is led there: for each
hand-over that it has not seen, first the checkpoint that closes the old epoch, then the proof of
the entry that names the next key; last the newest checkpoint.

What comes back counts only under the pinned key. The ledger keeps the newest one beside the record
in `audit.anchors/`, so the next start and every verification check the record against it.

Not here: who may, and what is recorded (`anchors.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.audit import merkle
from appliance.audit.checkpoint import (
    Signature,
    SignedCheckpoint,
    VerifierKey,
    cosigned_at,
)
from appliance.audit.cosigned_folder import HINT_BEHIND, require_witness
from appliance.audit.epochs import Epoch, Epochs
from appliance.audit.ledger import Ledger
from appliance.audit.proof import TlogProof
from appliance.audit.tlog_witness import (
    ADD_CHECKPOINT,
    ADD_KEY,
    AddCheckpoint,
    Step,
    encode_steps,
)
from appliance.audit.witness_client import WitnessClient
from appliance.errors import VerificationError


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint of this record that the pinned witness signed at `unix_time`."""

    signed: SignedCheckpoint
    cosignature: Signature
    unix_time: int


class Witnessing:
    """One witness, known by its pinned key, and this record."""

    def __init__(self, ledger: Ledger, witness: VerifierKey) -> None:
        """Raise BadInputError for a key of another kind than a witness has."""
        require_witness(witness)
        self._ledger, self._witness = ledger, witness

    def over_http(self, client: WitnessClient) -> Cosigned:
        """Lead the witness to the newest checkpoint and keep what it signed.

        Raises VerificationError when it saw another record than this one, or signs falsely.
        """
        newest = SignedCheckpoint.parse(self._ledger.checkpoint())
        epochs, size = self._epochs(), self._known_size()
        for epoch in self._unknown_to(client.keys(), epochs, newest):
            text = self._ledger.handover(epoch.number)
            self._ask(client, TlogProof.parse(text).signed, size)
            client.add_key(text)
            size = epoch.closing
        lines = self._ask(client, newest, size)
        return self._keep(newest.with_signatures(lines))

    def request(self, size: int | None = None) -> bytes:
        """Return a request file; `size` is what the witness cosigned last, if that is known."""
        old = self._known_size() if size is None else size
        newest = SignedCheckpoint.parse(self._ledger.checkpoint())
        steps: list[Step] = []
        for epoch in self._epochs().all[1:]:
            if old <= epoch.closing < newest.checkpoint.size:
                text = self._ledger.handover(epoch.number)
                steps.append(self._step(TlogProof.parse(text).signed, old))
                steps.append(Step(ADD_KEY, text.encode()))
                old = epoch.closing
        return encode_steps([*steps, self._step(newest, old)])

    def take(self, note: bytes) -> Cosigned:
        """Keep a checkpoint that the witness cosigned away from the network.

        Raises VerificationError unless the witness signed it and this record contains it.
        """
        signed = SignedCheckpoint.parse(note)
        self._epochs().check(note.decode())
        newest_note = self._ledger.checkpoint()
        newest, old = SignedCheckpoint.parse(newest_note).checkpoint, signed.checkpoint
        if old.size > newest.size:
            raise VerificationError(
                f"the witness saw {old.size} entries, and this record has {newest.size}",
                hint=HINT_BEHIND,
            )
        proof = self._ledger.consistency(old.size, newest_note)
        merkle.verify_consistency(old.size, newest.size, proof, old.root, newest.root)
        return self._keep(signed)

    def _epochs(self) -> Epochs:
        keys = self._ledger.keys()
        origin = VerifierKey.parse(keys[0].key).name
        return Epochs(origin, [Epoch(key.number, key.seq, key.key) for key in keys])

    def _known_size(self) -> int:
        """Return the size that this witness cosigned last, as far as is known here."""
        note = self._ledger.cosigned(str(self._witness))
        # Without one the witness will say.
        return SignedCheckpoint.parse(note).verify(self._witness).size if note else 0

    @staticmethod
    def _unknown_to(
        known: list[str] | None, epochs: Epochs, newest: SignedCheckpoint
    ) -> Iterator[Epoch]:
        """Yield the epochs whose keys the witness has to be shown, up to `newest`."""
        if known is None:
            return  # a witness of another make: it has to be given the newest key by hand
        numbers = [epoch.number for epoch in epochs.all if known[-1:] == [epoch.key]]
        if not numbers:
            raise VerificationError(
                "the witness follows a key that this record never had", hint=HINT_BEHIND
            )
        for epoch in epochs.all[numbers[0] + 1 :]:
            if epoch.closing < newest.checkpoint.size:
                yield epoch

    def _ask(self, client: WitnessClient, signed: SignedCheckpoint, old: int) -> list[Signature]:
        """Return what the witness signs, asking again from the size that it names."""
        size = signed.checkpoint.size
        for _ in range(2):
            if old > size:
                break
            answer = client.add_checkpoint(self._request(signed, old))
            if isinstance(answer, list):
                return answer
            if answer == old:
                break
            old = answer
        raise VerificationError(
            f"the witness saw {old} entries and another record than this one with {size}",
            hint=HINT_BEHIND,
        )

    def _request(self, signed: SignedCheckpoint, old: int) -> AddCheckpoint:
        proof = self._ledger.consistency(old, signed.note()) if old else []
        return AddCheckpoint(old, tuple(proof), signed)

    def _step(self, signed: SignedCheckpoint, old: int) -> Step:
        return Step(ADD_CHECKPOINT, self._request(signed, old).body())

    def _keep(self, signed: SignedCheckpoint) -> Cosigned:
        """Have the ledger keep what was cosigned, if it was, and unless it has something newer."""
        signed.verify(self._witness)
        ours = next(
            line
            for line in signed.signatures
            if (line.name, line.key_id) == (self._witness.name, self._witness.id)
        )
        self._ledger.keep(signed.note(), str(self._witness))
        return Cosigned(signed, ours, cosigned_at(ours))
