"""A receipt: one entry, and the proof that it is in the record under a signed checkpoint (pure).

The form is C2SP tlog-proof. The entry's own bytes stand in its `extra` line, so a receipt shows
exactly one entry and proves it to whoever has the log's verifier key, without the record:

    c2sp.org/tlog-proof@v1
    extra <base64 of the entry>
    index <number of the entry>
    <base64 of a hash>                    the inclusion proof, lowest hash first
    …
                                          (an empty line)
    <checkpoint>                          a signed note, see `checkpoint.py`
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from appliance.audit import merkle
from appliance.audit.checkpoint import SignedCheckpoint, VerifierKey
from appliance.errors import BadInputError, VerificationError

HEADER = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class TlogProof:
    """What a receipt holds; nothing of it is verified until `verify`."""

    entry: bytes
    seq: int
    hashes: tuple[bytes, ...]
    signed: SignedCheckpoint

    @property
    def note(self) -> str:
        """The checkpoint as it stands in the receipt."""
        return self.signed.note()

    def text(self) -> str:
        """Return the receipt as a file."""
        lines = [HEADER, f"extra {_encoded(self.entry)}", f"index {self.seq}"]
        lines += [_encoded(item) for item in self.hashes]
        return "\n".join([*lines, "", self.note])

    @classmethod
    def parse(cls, text: str) -> TlogProof:
        """Read a receipt; raise BadInputError on anything else."""
        head, separator, note = text.partition("\n\n")
        lines = head.split("\n")
        if not separator or len(lines) < 3 or lines[0] != HEADER:
            raise BadInputError("not a receipt: it does not begin as a tlog-proof does")
        if len(lines) > 3 + MAX_HASHES:
            raise BadInputError("not a receipt: it has too many hashes")
        entry, index = _field(lines[1], "extra "), _field(lines[2], "index ")
        if not (index.isascii() and index.isdigit()) or len(index) > 16 or str(int(index)) != index:
            raise BadInputError("not a receipt: its index is not a number")
        hashes = tuple(_decoded(line) for line in lines[3:])
        return cls(_decoded(entry), int(index), hashes, SignedCheckpoint.parse(note))

    def verify(self, key: VerifierKey) -> None:
        """Return only if the entry is in the record that `key` signed; else VerificationError."""
        checkpoint = self.signed.verify(key)
        if self.seq >= checkpoint.size:
            raise VerificationError(f"the checkpoint does not cover entry {self.seq}")
        leaf = merkle.leaf_hash(self.entry)
        merkle.verify_inclusion(leaf, self.seq, checkpoint.size, self.hashes, checkpoint.root)


def _field(line: str, name: str) -> str:
    if not line.startswith(name):
        raise BadInputError(f"not a receipt: the line {name.strip()!r} is missing")
    return line.removeprefix(name)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadInputError("not a receipt: a line is not base64") from error
    if _encoded(data) != text:  # a second spelling of the same bytes
        raise BadInputError("not a receipt: a line is not base64")
    return data
