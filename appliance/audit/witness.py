"""What a witness decides: state in, decision out (pure).

A witness on another machine remembers how far it saw a log. It puts its signature only under a
checkpoint of which it was shown that the log grew from there. So two histories of one log never
both carry its signature: neither a restored backup nor a rewritten record gets one.

`consider_checkpoint` follows C2SP tlog-witness:

1. the request can be read (400), its log is known (404);
2. the key that the log has at that size signed it (403);
3. the old size is not above the new one (400), and is the one cosigned last (409);
4. a checkpoint of the same size has the same root (409);
5. the proof shows that the record only grew (422).

`consider_key` is ours, because our logs change keys each day. The witness believes a new key only
when the old one vouches for it in the record itself: the hand-over entry is the last one under
the checkpoint that the witness cosigned last.

Not here: files, time, HTTP. The caller stores an accepted state durably before it answers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from appliance.audit import merkle
from appliance.audit.checkpoint import Checkpoint, SignedCheckpoint, VerifierKey
from appliance.audit.epochs import ACTION
from appliance.audit.proof import TlogProof
from appliance.audit.tlog_witness import AddCheckpoint
from appliance.errors import ApplianceError, BadInputError, VerificationError


@dataclass(frozen=True, slots=True)
class WitnessState:
    """How far a witness saw one log.

    `key` is the log's newest key that it knows; it signs checkpoints above `opened` entries.
    `previous` signs those up to there, and is None while the pinned key is the only one. `epoch`
    is the number of the newest key, None until a hand-over states one.
    """

    key: VerifierKey
    previous: VerifierKey | None = None
    opened: int = 0
    epoch: int | None = None
    size: int = 0
    root: bytes = merkle.EMPTY_ROOT

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self.key.name

    def key_at(self, size: int) -> VerifierKey:
        """Return the key that signs a checkpoint of `size` entries, as far as is known."""
        return self.key if size > self.opened or self.previous is None else self.previous

    def to_json(self) -> dict[str, Any]:
        """Return the state as it is stored."""
        return {
            "v": 1,
            "key": str(self.key),
            "previous": None if self.previous is None else str(self.previous),
            "opened": self.opened,
            "epoch": self.epoch,
            "size": self.size,
            "root": base64.b64encode(self.root).decode(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> WitnessState:
        """Read what `to_json` wrote; raise BadInputError for anything else."""
        try:
            known = {name: value[name] for name in ("opened", "epoch", "size")}
            previous = value["previous"]
            return cls(
                key=VerifierKey.parse(value["key"]),
                previous=None if previous is None else VerifierKey.parse(previous),
                root=base64.b64decode(value["root"], validate=True),
                **known,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInputError("not the state of a witness") from error


@dataclass(frozen=True, slots=True)
class Accepted:
    """What to remember from now on; nothing is signed before it is stored."""

    state: WitnessState


@dataclass(frozen=True, slots=True)
class Refused:
    """An HTTP status, and why in words. `suspicious`: the log itself seems to be false."""

    status: int
    why: str
    suspicious: bool = False


Decision = Accepted | Refused


def consider_checkpoint(state: WitnessState, body: bytes) -> Decision:
    """Decide on the body of an `add-checkpoint` request."""
    try:
        request = AddCheckpoint.parse(body)
    except BadInputError as error:
        return Refused(400, error.message)
    if (refused := _untrusted(state, request.signed)) is not None:
        return refused
    new = request.signed.checkpoint
    if (refused := _not_following(state, request.old, new)) is not None:
        return refused
    try:
        merkle.verify_consistency(state.size, new.size, request.proof, state.root, new.root)
    except VerificationError as error:
        return Refused(422, error.message, suspicious=True)
    return Accepted(replace(state, size=new.size, root=new.root))


def consider_key(state: WitnessState, body: bytes) -> Decision:
    """Decide on the body of an `add-key` request: a tlog-proof of the hand-over entry."""
    if (stated := stated_key(body)) is None:
        return Refused(400, "not a proof of a hand-over")
    if stated == str(state.key):
        return Accepted(state)
    proof = TlogProof.parse(body.decode())
    new = proof.signed.checkpoint
    if (refused := _untrusted(state, proof.signed)) is not None:
        return refused
    if (new.size, new.root) != (state.size, state.root):
        return Refused(409, "the proof is not under the checkpoint that was cosigned last")
    try:
        merkle.verify_inclusion(
            merkle.leaf_hash(proof.entry), proof.seq, new.size, proof.hashes, new.root
        )
        return Accepted(_handed_over(state, proof.seq, json.loads(proof.entry)))
    except ApplianceError as error:
        return Refused(422, error.message, suspicious=True)


def stated_key(body: bytes) -> str | None:
    """Return the key that a proof of a hand-over states, unverified; None when it is no proof."""
    try:
        content = json.loads(TlogProof.parse(body.decode()).entry)["content"]
        return str(content["key"])
    except (BadInputError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _untrusted(state: WitnessState, signed: SignedCheckpoint) -> Refused | None:
    if signed.checkpoint.origin != state.origin:
        return Refused(404, "this witness does not know that log")
    try:
        signed.verify(state.key_at(signed.checkpoint.size))
    except VerificationError as error:
        return Refused(403, error.message)
    return None


def _not_following(state: WitnessState, old: int, new: Checkpoint) -> Refused | None:
    """Say why the checkpoint does not come after the one that was cosigned last."""
    if new.size < state.size:
        why = f"the log shows {new.size} entries, and had {state.size} before: it was set back"
        # As the specification has it: 400 where the old size is larger than the new one.
        return Refused(400 if old > new.size else 409, why, suspicious=True)
    if old > new.size:
        return Refused(400, "the old size is above the new one")
    if old != state.size:
        return Refused(409, f"this witness cosigned size {state.size} last")
    if new.size == state.size and new.root != state.root:
        why = f"the log signed two different records of {new.size} entries"
        return Refused(409, why, suspicious=True)
    return None


def _handed_over(state: WitnessState, seq: int, entry: Mapping[str, Any]) -> WitnessState:
    """Return the state with the next key; raise VerificationError if the entry states none."""
    content = entry["content"]
    places = (entry.get("action"), entry.get("log"), entry.get("seq"), content.get("previous"))
    if places != (ACTION, state.origin, seq, str(state.key)):
        raise VerificationError("the entry does not hand over from the key that is trusted")
    if seq != state.size - 1:
        raise VerificationError("the hand-over is not the last entry under its checkpoint")
    number, key = content.get("epoch"), VerifierKey.parse(str(content["key"]))
    if type(number) is not int or (state.epoch is not None and number != state.epoch + 1):
        raise VerificationError("the hand-over is not to the next epoch")
    if key.name != state.origin:
        raise VerificationError("the new key is of another log")
    return replace(state, key=key, previous=state.key, opened=state.size, epoch=number)
