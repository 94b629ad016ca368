"""A deletion certificate: the signed proof of an erasure's entry, and the same in words (pure).

The file is a C2SP tlog-proof that any verifier of the record can check. The words are read from
the entry inside it and from nowhere else, so the two cannot disagree.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from appliance.audit.checkpoint import SignedCheckpoint
from appliance.audit.entry import leaf_hash
from appliance.audit.proof import TlogProof

WHOSE = {
    "patient": "everything kept about one patient (pseudonym {subject})",
    "user": "everything kept by one person (account {person})",
    "conversation": "one conversation ({conversation})",
}
BY_SCHEDULE = "content whose time was over"
CHECK = """\
How to check it

  This page repeats what the file with the ending .tlog-proof proves. To check that file on any
  computer with Python, with the verifier that came on the delivery stick:

      python verify_record.py --receipt FILE.tlog-proof --key KEY

  KEY is the record's first public key, from the paper made at installation. For an erasure of a
  later day, give the --handover files up to that day too.

What it means

  Each conversation is sealed under a key of its own (AES-256-GCM). The keys named above were
  deleted, the files that held them were searched and do not hold them any more, and the sealed
  bytes were emptied. Copies of the sealed bytes elsewhere cannot be opened without these keys.
  Backups made before that time hold the keys as they were then: they fall under the hospital's
  own rules for backups, and a backup that is restored must be followed by the same erasure.
"""


@dataclass(frozen=True)
class Certificate:
    """One certificate: `proof` is the file, `text` the page to print, `seq` the entry."""

    proof: str = field(repr=False)
    text: str = field(repr=False)
    seq: int

    @classmethod
    def read(cls, proof: str) -> Certificate:
        """Put what the ledger proved into words."""
        parsed = TlogProof.parse(proof)
        entry = json.loads(parsed.entry)
        signed = SignedCheckpoint.parse(parsed.note)
        facts = {
            "Record": entry["log"],
            "Entry": f"{parsed.seq}, leaf hash {leaf_hash(parsed.entry).hex()}",
            "Checkpoint": f"{signed.checkpoint.size} entries, "
            f"root hash {signed.checkpoint.root.hex()}",
            "Erased on": entry["t"],
            "What": _what(entry["content"]),
            "Legal basis": entry["content"]["basis"],
            "Asked for by": entry["content"].get("requested_by", entry["agent"]["user"]),
            "Conversations": str(entry["content"]["conversations"]),
            "Keys destroyed": str(entry["content"]["keys_destroyed"]),
        }
        width = max(map(len, facts)) + 2
        lines = [f"  {name:<{width}}{value}" for name, value in facts.items()]
        page = ["CERTIFICATE OF DELETION", "", *lines, "", *_keys(entry["content"]), CHECK]
        return cls(proof, "\n".join(page), parsed.seq)


def _what(content: dict[str, Any]) -> str:
    return WHOSE.get(content.get("scope", ""), BY_SCHEDULE).format_map(content)


def _keys(content: dict[str, Any]) -> list[str]:
    if "keys" in content:
        return ["Keys that were destroyed", "", *(f"  {key}" for key in content["keys"]), ""]
    return [f"SHA-256 over the ids of all destroyed keys: {content['keys_sha256']}", ""]
