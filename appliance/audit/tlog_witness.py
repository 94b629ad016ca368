"""What a log and a witness say to each other: bodies of C2SP tlog-witness (pure).

A log asks for a cosignature with `POST add-checkpoint`:

    old 20852014                          size that the witness cosigned last
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9te…     consistency proof, one hash to a line, at most 63
                                          (an empty line)
    hospital/audit/0123456789abcdef       the new checkpoint, a signed note
    …

Our extension `POST add-key` carries the hand-over to the log's next key as a C2SP tlog-proof.
For machines without a network, a request file holds the same bodies one after the other:

    appliance-witness-request/v1
    add-checkpoint 412                    kind, and length of what follows in bytes
    …
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.audit.checkpoint import MAX_NOTE_BYTES, MAX_SIZE, SignedCheckpoint
from appliance.audit.merkle import HASH_BYTES
from appliance.errors import BadInputError

ADD_CHECKPOINT = "add-checkpoint"
ADD_KEY = "add-key"
SIZE_TYPE = "text/x.tlog.size"
MAX_PROOF_LINES = 63
# The note, the proof (45 bytes a line), and the line of the old size.
MAX_CHECKPOINT_BODY = MAX_NOTE_BYTES + MAX_PROOF_LINES * 45 + 64
# An entry of 64 KiB in base64, a proof of 63 hashes, and a note.
MAX_KEY_BODY = 160_000
MAX_BODY = {ADD_CHECKPOINT: MAX_CHECKPOINT_BODY, ADD_KEY: MAX_KEY_BODY}
MAX_STEPS = 10_000
_HEADING = b"appliance-witness-request/v1\n"


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A new checkpoint, and the proof that its record only grew since size `old`."""

    old: int
    proof: tuple[bytes, ...]
    signed: SignedCheckpoint

    def body(self) -> bytes:
        """Return the bytes of the request."""
        lines = "".join(f"{base64.b64encode(item).decode()}\n" for item in self.proof)
        return f"old {self.old}\n{lines}\n{self.signed.note()}".encode()

    @classmethod
    def parse(cls, body: bytes) -> AddCheckpoint:
        """Read a request; raise BadInputError for anything else."""
        if len(body) > MAX_CHECKPOINT_BODY:
            raise BadInputError("the request is too long")
        head, separator, note = body.partition(b"\n\n")
        if not separator:
            raise BadInputError("the request has no empty line after its proof")
        first, *hashes = head.split(b"\n")
        if len(hashes) > MAX_PROOF_LINES:
            raise BadInputError(f"a consistency proof has at most {MAX_PROOF_LINES} lines")
        return cls(_old(first), tuple(map(_hash, hashes)), SignedCheckpoint.parse(note))


@dataclass(frozen=True, slots=True)
class Step:
    """One body for a witness: `kind` is ADD_CHECKPOINT or ADD_KEY."""

    kind: str
    body: bytes


def encode_steps(steps: Sequence[Step]) -> bytes:
    """Return the request file that holds these bodies in their order."""
    parts = (f"{step.kind} {len(step.body)}\n".encode() + step.body for step in steps)
    return _HEADING + b"".join(parts)


def parse_steps(data: bytes) -> tuple[Step, ...]:
    """Read a request file; raise BadInputError unless it is one, to its last byte."""
    if not data.startswith(_HEADING):
        raise BadInputError(
            "not a request for a witness",
            hint="make one on the appliance: appliance audit anchor --witness-request FILE",
        )
    rest, steps = data[len(_HEADING) :], list[Step]()
    while rest and len(steps) < MAX_STEPS:
        line, _, rest = rest.partition(b"\n")
        kind, _, length = line.decode("ascii", "replace").partition(" ")
        if kind not in MAX_BODY or not 0 < (size := _number(length)) <= MAX_BODY[kind]:
            raise BadInputError("the request for the witness is damaged")
        if len(rest) < size:
            raise BadInputError("the request for the witness is cut off")
        steps.append(Step(kind, rest[:size]))
        rest = rest[size:]
    if rest or not steps:
        raise BadInputError("the request for the witness is too long, or empty")
    return tuple(steps)


def parse_size(text: str) -> int:
    """Read a tree size as text/x.tlog.size has it; raise BadInputError otherwise."""
    size = _number(text.removesuffix("\n"))
    if size < 0:
        raise BadInputError("not a size of a record")
    return size


def _old(line: bytes) -> int:
    word, _, digits = line.decode("ascii", "replace").partition(" ")
    size = _number(digits)
    if word != "old" or size < 0:
        raise BadInputError("the request does not begin with the old size")
    return size


def _number(text: str) -> int:
    """Return the number without leading zeroes that `text` is, or -1."""
    plain = text.isascii() and text.isdigit() and len(text) <= 16
    if not plain or str(int(text)) != text or int(text) > MAX_SIZE:
        return -1
    return int(text)


def _hash(line: bytes) -> bytes:
    try:
        value = base64.b64decode(line, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadInputError("a line of the consistency proof is not base64") from error
    if len(value) != HASH_BYTES or base64.b64encode(value) != line:
        raise BadInputError("a line of the consistency proof is not one hash")
    return value
